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
/** Milliseconds of lines that are sent together, and how many at most: nobody reads more, and each costs the server time. */
const TOGETHER_MS = 100;
const MOST_TOGETHER = 100;
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
    stream.begin(this.#lines);
    return undefined;
  }

  #take(line: LogLine): void {
    this.#lines.push(line);
    if (this.#lines.length > REMEMBERED) this.#lines.shift();
    for (const stream of this.#streams) stream.send(line);
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

  /** Sends the lines of before. */
  begin(lines: readonly LogLine[]): void {
    for (const line of lines) this.#add(line);
  }

  /** Sends a line soon, together with others that come meanwhile. */
  send(line: LogLine): void {
    if (this.#events.length >= MOST_TOGETHER || this.#isSlow) {
      this.#left++;
      return;
    }
    this.#tellLeft();
    this.#add(line);
  }

  beat(): void {
    this.#write(": \n\n");
  }

  /** Does the page read slower than lines come? */
  get #isSlow(): boolean {
    return this.#response.writableLength + this.#size > MOST_WAITING;
  }

  #tellLeft(): void {
    if (this.#left === 0) return;
    this.#add({ at: Date.now(), level: "warn", text: `${this.#left} lines are left out here` });
    this.#left = 0;
  }

  #add(line: LogLine): void {
    const event = eventOf(line);
    if (this.#events.length === 0) setTimeout(() => this.#flush(), TOGETHER_MS).unref();
    this.#events.push(event);
    this.#size += event.length;
  }

  #flush(): void {
    const text = this.#events.join("");
    this.#events = [];
    this.#size = 0;
    this.#write(text);
    if (!this.#isSlow) this.#tellLeft();
  }

  /** A response that has ended is there until the page has read it, and a write would be an error that nobody deals with. */
  #write(text: string): void {
    if (!this.#response.writableEnded) this.#response.write(text);
  }
}
