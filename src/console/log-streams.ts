/** What scripts print and log, live: a stream of events (text/event-stream) for each page that looks at it. */
import type { ServerResponse } from "node:http";
import type { LogFeed, LogLine } from "../python/limited-log.ts";
import type { Refusal } from "./guard.ts";

/** Pages that look at the log at a time. */
const MOST_STREAMS = 32;
/** Lines of before that a page gets. */
const REMEMBERED = 500;
/** Bytes that may wait for a page that reads slowly: more lines are left out. */
const MOST_WAITING = 1024 * 1024;
/** How often a sign of life is sent, and the right to read asked for anew. */
const BEAT_MS = 10_000;

export class LogStreams {
  readonly #lines: LogLine[] = [];
  readonly #streams = new Set<Stream>();
  readonly #feed: LogFeed;

  constructor(feed: LogFeed) {
    this.#feed = feed;
  }

  /** Begins to remember lines. */
  start(): void {
    this.#feed.watch((line) => this.#take(line));
  }

  /**
   * Sends lines from now on, and those of before.
   * @param ended fires when the login is over
   * @param readRefusal why the user may not read any more; undefined: they may
   * @returns why not; undefined when it does
   */
  open(
    response: ServerResponse,
    ended: AbortSignal,
    readRefusal: () => Promise<string | undefined>,
  ): Refusal | undefined {
    if (this.#streams.size >= MOST_STREAMS) return { status: 503, text: "too many pages look at the log" };
    response.writeHead(200, { "content-type": "text/event-stream" });
    const stream = new Stream(response);
    this.#streams.add(stream);
    const beat = setInterval(() => {
      stream.beat();
      void readRefusal().then((refused) => {
        if (refused !== undefined) response.end();
      });
    }, BEAT_MS).unref();
    const end = (): void => void response.end();
    ended.addEventListener("abort", end, { once: true });
    response.once("close", () => {
      clearInterval(beat);
      ended.removeEventListener("abort", end);
      this.#streams.delete(stream);
    });
    stream.beat();
    for (const line of this.#lines) stream.send(line);
    return undefined;
  }

  #take(line: LogLine): void {
    this.#lines.push(line);
    if (this.#lines.length > REMEMBERED) this.#lines.shift();
    for (const stream of this.#streams) stream.send(line);
  }
}

class Stream {
  readonly #response: ServerResponse;
  #left = 0;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  send(line: LogLine): void {
    if (this.#response.writableLength > MOST_WAITING) {
      this.#left++;
      return;
    }
    if (this.#left > 0) this.#write({ at: line.at, level: "warn", text: `${this.#left} lines are left out here` });
    this.#left = 0;
    this.#write(line);
  }

  beat(): void {
    this.#response.write(": \n\n");
  }

  #write(line: LogLine): void {
    // JSON has no line ends, which would end the event
    this.#response.write(`data: ${JSON.stringify(line)}\n\n`);
  }
}
