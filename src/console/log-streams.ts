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
/** Milliseconds of lines that are sent together: a script may log a thousand a second. */
const TOGETHER_MS = 100;
/** How often a sign of life is sent, and the right to read asked for anew. */
const BEAT_MS = 10_000;

export class LogStreams {
  /** As they are sent. */
  readonly #lines: string[] = [];
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
    const event = eventOf(line);
    this.#lines.push(event);
    if (this.#lines.length > REMEMBERED) this.#lines.shift();
    for (const stream of this.#streams) stream.send(event);
  }
}

/** JSON has no line ends, which would end the event. */
const eventOf = (line: LogLine): string => `data: ${JSON.stringify(line)}\n\n`;

class Stream {
  readonly #response: ServerResponse;
  #events: string[] = [];
  /** Characters of those. */
  #size = 0;
  #left = 0;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** Sends an event soon, together with others that come meanwhile. */
  send(event: string): void {
    if (this.#response.writableLength + this.#size > MOST_WAITING) {
      this.#left++;
      return;
    }
    if (this.#left > 0) {
      this.#add(eventOf({ at: Date.now(), level: "warn", text: `${this.#left} lines are left out here` }));
      this.#left = 0;
    }
    this.#add(event);
  }

  beat(): void {
    this.#response.write(": \n\n");
  }

  #add(event: string): void {
    if (this.#events.length === 0) setTimeout(() => this.#flush(), TOGETHER_MS).unref();
    this.#events.push(event);
    this.#size += event.length;
  }

  #flush(): void {
    const text = this.#events.join("");
    this.#events = [];
    this.#size = 0;
    // it may be over meanwhile
    if (this.#response.writable) this.#response.write(text);
  }
}
