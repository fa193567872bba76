/** What a page is sent of the log, when scripts log more than anybody reads. */
import { ServerResponse, IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LogStreams } from "../../src/console/log-streams.ts";

/** A page, by what was written to it. */
class FakePage {
  readonly sent: string[] = [];
  readonly login = new AbortController();
  readonly response = new ServerResponse(new IncomingMessage(new Socket()));
  /** Bytes that it has not read yet. */
  unread = 0;

  constructor() {
    vi.spyOn(this.response, "write").mockImplementation((text: string) => this.sent.push(text) > 0);
    vi.spyOn(this.response, "writableLength", "get").mockImplementation(() => this.unread);
  }

  get texts(): string[] {
    return [...this.sent.join("").matchAll(/"text":"([^"]*)"/g)].map(([, text = ""]) => text);
  }
}

describe("a stream of lines", () => {
  let streams: LogStreams;
  let log: (text: string) => void;
  let page: FakePage;

  const open = (): FakePage => {
    const opened = new FakePage();
    expect(streams.open(opened.response, opened.login.signal, async () => undefined)).toBeUndefined();
    return opened;
  };
  const lines = (from: number, to: number): string[] =>
    Array.from({ length: to - from }, (_, at) => `line ${from + at}`);

  beforeEach(() => {
    vi.useFakeTimers();
    streams = new LogStreams({
      watch: (take) => {
        log = (text) => take({ at: 0, level: "info", text });
      },
    });
    streams.start();
    page = open();
  });
  afterEach(() => vi.useRealTimers());

  it("has all of them, a quarter of a second's together in one event", () => {
    for (const line of lines(0, 400)) log(line);
    const before = page.sent.length;
    vi.advanceTimersByTime(250);
    expect(page.sent.length).toBe(before + 1);
    expect(page.sent.at(-1)).toMatch(/^data: \[.*\]\n\n$/);
    expect(page.texts).toEqual(lines(0, 400));
  });

  it("has the newest of more than that, after how many are left out, and then a hundred each second", () => {
    for (const line of lines(0, 5_000)) log(line);
    vi.advanceTimersByTime(250);
    expect(page.texts).toEqual(["4500 lines are left out here", ...lines(4_500, 5_000)]);
    page.sent.length = 0;
    for (let second = 0; second < 10; second++) {
      for (const line of lines(0, 1_000)) log(line);
      vi.advanceTimersByTime(1_000);
    }
    expect(page.sent.filter((text) => text.startsWith("data:"))).toHaveLength(10);
    const second = ["900 lines are left out here", ...lines(900, 1_000)];
    expect(page.texts).toEqual(Array.from({ length: 10 }, () => second).flat());
    vi.advanceTimersByTime(10_000);
    log("the next one");
    vi.advanceTimersByTime(250);
    expect(page.texts.at(-1)).toBe("the next one");
  });

  it("begins with the last ones of before, and goes on with the next", () => {
    for (const line of lines(0, 600)) log(line);
    const late = open();
    expect(late.texts).toEqual(lines(100, 600));
    log("the next one");
    vi.advanceTimersByTime(250);
    expect(late.texts.slice(500)).toEqual(["the next one"]);
  });

  it("has no more while the page does not read, and then the newest", () => {
    page.unread = 2 * 1024 * 1024;
    for (const line of lines(0, 700)) log(line);
    vi.advanceTimersByTime(5_000);
    expect(page.texts).toEqual([]);
    page.unread = 0;
    vi.advanceTimersByTime(1_000);
    expect(page.texts).toEqual(["200 lines are left out here", ...lines(200, 700)]);
  });

  it("has nothing more when the login is over, though the page has not read all of it yet", () => {
    log("a line that waits");
    page.login.abort();
    const before = page.sent.length;
    log("a line of after");
    vi.advanceTimersByTime(60_000);
    expect(page.sent.slice(before)).toEqual([]);
  });

  it("gives its place back when the login is over, though the page reads no more", () => {
    const silent = Array.from({ length: 31 }, open);
    expect(streams.open(new FakePage().response, page.login.signal, async () => undefined)).toMatchObject({
      status: 503,
    });
    for (const one of silent) {
      one.unread = 1;
      one.login.abort();
      expect(one.response.destroyed).toBe(true);
    }
    for (let n = 0; n < 31; n++) open();
  });
});
