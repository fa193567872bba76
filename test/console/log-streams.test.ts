/** What a page is sent of the log, when scripts log more than anybody reads. */
import { ServerResponse, IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LogStreams } from "../../src/console/log-streams.ts";

describe("a stream of lines", () => {
  const sent: string[] = [];
  let log: (text: string) => void;
  let login: AbortController;

  beforeEach(() => {
    vi.useFakeTimers();
    sent.length = 0;
    const streams = new LogStreams({
      watch: (take) => {
        log = (text) => take({ at: 0, level: "info", text });
      },
    });
    streams.start();
    const response = new ServerResponse(new IncomingMessage(new Socket()));
    vi.spyOn(response, "write").mockImplementation((text: string) => sent.push(text) > 0);
    login = new AbortController();
    streams.open(response, login.signal, async () => undefined);
  });
  afterEach(() => vi.useRealTimers());

  const texts = (): string[] => [...sent.join("").matchAll(/"text":"([^"]*)"/g)].map(([, text = ""]) => text);

  it("has all of them, a tenth of a second's together", () => {
    for (let at = 0; at < 50; at++) log(`line ${at}`);
    const before = sent.length;
    vi.advanceTimersByTime(100);
    expect(sent.length).toBe(before + 1);
    expect(texts()).toEqual(Array.from({ length: 50 }, (_, at) => `line ${at}`));
  });

  it("has a hundred of them at most, and says how many it leaves out", () => {
    for (let at = 0; at < 5_000; at++) log(`line ${at}`);
    vi.advanceTimersByTime(200);
    expect(texts()).toEqual([...Array.from({ length: 100 }, (_, at) => `line ${at}`), "4900 lines are left out here"]);
    log("the next one");
    vi.advanceTimersByTime(100);
    expect(texts().at(-1)).toBe("the next one");
  });

  it("has nothing more when the login is over, though the page has not read all of it yet", () => {
    log("a line that waits");
    login.abort();
    const before = sent.length;
    log("a line of after");
    vi.advanceTimersByTime(60_000);
    expect(sent.slice(before)).toEqual([]);
  });
});
