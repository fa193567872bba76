/**
 * What scripts print and log, live: a stream of events (text/event-stream) for each page that looks at it. A line costs next to
 * nothing when it is logged, however many pages look: it is made text only when it is sent, once for all of them, and most of
 * those that come faster than anybody reads are never sent.
 */
import type { ServerResponse } from "node:http";
import type { LogFeed, LogLine } from "../python/limited-log.ts";
import type { Refusal } from "./guard.ts";

/** Pages that look at the log at a time. */
const MOST_STREAMS = 32;
/** Lines of before that a page gets, and that it gets at once when they come together. */
const REMEMBERED = 500;
/** Lines a second that a page gets when they go on and on. */
const PER_SECOND = 100;
/** Milliseconds of lines that are sent together, and of those that come faster than they may be sent. */
const TOGETHER_MS = 250;
const FLOODED_MS = 1_000;
/** Characters that are sent together. */
const MOST_TOGETHER = 1024 * 1024;
/** Bytes that may wait for a page that reads slowly: it gets no more until they are fewer. */
const MOST_WAITING = 1024 * 1024;
/** How often a sign of life is sent, and the right to read asked for anew. */
const BEAT_MS = 10_000;

interface Stream {
  readonly response: ServerResponse;
  /** The number of the line that comes next for it. */
  at: number;
}

export class LogStreams {
  /** A line has its place by its number. */
  readonly #lines: LogLine[] = [];
  /** Lines so far: the number of the next one. */
  #count = 0;
  readonly #streams = new Set<Stream>();
  readonly #feed: LogFeed;
  /** Lines that may be sent now, by {@link PER_SECOND}, and when that was so. */
  #room = REMEMBERED;
  #roomAt = 0;
  #timer: NodeJS.Timeout | undefined;

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
    const stream = { response, at: this.#count };
    this.#streams.add(stream);
    const forget = (): void => {
      clearInterval(beat);
      ended.removeEventListener("abort", end);
      this.#streams.delete(stream);
    };
    const end = (): void => {
      forget();
      // who does not read what was sent before would not read the end either, and be there for ever
      if (response.writableLength > 0) response.destroy();
      else response.end();
    };
    const beat = setInterval(() => {
      response.write(BEAT);
      readRefusal().then((refused) => {
        if (refused !== undefined) end();
      }, end);
    }, BEAT_MS).unref();
    ended.addEventListener("abort", end, { once: true });
    response.once("close", forget);
    response.write(BEAT);
    const first = Math.max(0, this.#count - REMEMBERED);
    if (first < this.#count) response.write(this.#eventOf(first, first));
    return undefined;
  }

  #take(line: LogLine): void {
    this.#lines[this.#count++ % REMEMBERED] = line;
    if (this.#streams.size > 0) this.#sendSoon();
  }

  #sendSoon(): void {
    if (this.#timer) return;
    this.#moreRoom();
    this.#timer = setTimeout(() => this.#send(), this.#room < PER_SECOND ? FLOODED_MS : TOGETHER_MS).unref();
  }

  /** Sends all pages what they have not got, as far as there is room for it. */
  #send(): void {
    this.#timer = undefined;
    this.#moreRoom();
    const oldest = this.#count - Math.floor(this.#room);
    /** Pages that have got the same get the same. */
    const events = new Map<number, string>();
    for (const stream of this.#streams) {
      const { response, at } = stream;
      if (at === this.#count) continue;
      if (response.writableLength > MOST_WAITING) {
        this.#sendSoon();
        continue;
      }
      const event = events.get(at) ?? this.#eventOf(at, Math.max(at, oldest));
      events.set(at, event);
      stream.at = this.#count;
      response.write(event);
    }
    const sent = [...events.keys()].map((at) => this.#count - Math.max(at, oldest));
    this.#room -= Math.max(0, ...sent);
  }

  #moreRoom(): void {
    const now = performance.now();
    this.#room = Math.min(REMEMBERED, this.#room + ((now - this.#roomAt) / 1000) * PER_SECOND);
    this.#roomAt = now;
  }

  /**
   * The lines up to now. They are one event, since a browser does much for each.
   * @param from the number of the line that comes next for the page
   * @param shown the number of the first line that is sent
   */
  #eventOf(from: number, shown: number): string {
    const texts: string[] = [];
    let room = MOST_TOGETHER;
    let at = this.#count;
    for (; at > shown && room > 0; at--) {
      const text = JSON.stringify(this.#lines[(at - 1) % REMEMBERED]);
      room -= text.length;
      texts.push(text);
    }
    if (at > from) texts.push(JSON.stringify(leftOut(at - from)));
    // JSON has no line ends, which would end the event
    return `data: [${texts.reverse().join()}]\n\n`;
  }
}

const BEAT = ": \n\n";

const leftOut = (lines: number): LogLine => ({
  at: Date.now(),
  level: "warn",
  text: `${lines} lines are left out here`,
});
