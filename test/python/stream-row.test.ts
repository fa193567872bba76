/** Batches of streams that a worker reads by itself: what the threads write for each other, and when it leaves all to the main thread. */
import { describe, expect, it } from "vitest";
import { createShared, Receiver, Sender, type Shared, Word } from "../../src/python/channel.ts";
import { DirectRows, NextBatch } from "../../src/python/direct-rows.ts";
import { decodeMarshal, type MarshalValue } from "../../src/python/marshal.ts";
import {
  isTold,
  readRow,
  readTold,
  ROW_BYTES,
  type Row,
  type RowTold,
  writeRow,
  writeTold,
} from "../../src/python/stream-row.ts";

const key = Buffer.from([0x73, 0xff]);
const batch = (handle: number, count = 2): Row["next"][number] => ({ handle, key, count, trim: true });
const row = (...handles: number[]): Row => ({
  first: { ...batch(7), ids: ["1-1", "1-2"] },
  next: handles.map((handle) => batch(handle)),
});

describe("what is written", () => {
  it("of a row is read as it was", () => {
    const memory = new Uint8Array(new SharedArrayBuffer(ROW_BYTES));
    const written = row(8, 9);
    expect(writeRow(memory, written)).toBe(true);
    expect(readRow(memory)).toEqual(written);
    expect(writeRow(memory.subarray(0, 10), written)).toBe(false);
  });

  it.each<RowTold>([
    { handle: 7, trimmed: true, next: ["1-3", "18446744073709551615-18446744073709551615"], lost: false },
    { handle: 2 ** 31 - 1, trimmed: false, next: undefined, lost: true },
  ])("of a batch is read as it was: %j", (told) => {
    const bytes = writeTold(told);
    expect(isTold(bytes)).toBe(true);
    expect(readTold(bytes)).toEqual(told);
  });
});

const reply = (...ids: string[]): string => {
  const messages = ids.map((id) => `*2\r\n$${id.length}\r\n${id}\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n`);
  return `*1\r\n*2\r\n$2\r\ns\xff\r\n*${ids.length}\r\n${messages.join("")}`;
};

/** A worker with a row of some batches, whose engine answers each request with the next one of these: a reply, or an outcome. */
function worker(answers: readonly string[], ...handles: number[]) {
  const shared: Shared = createShared();
  const requests: string[] = [];
  const left = [...answers];
  const engine = {
    isOpen: true,
    reply: Buffer.alloc(0),
    replySize: 0,
    othersWait: false,
    execute: (request: Uint8Array, size: number) => {
      requests.push(
        Buffer.from(request.subarray(0, size))
          .toString("latin1")
          .replace(/[*$]\d+\r\n/g, "")
          .replaceAll("\r\n", " ")
          .trim(),
      );
      const answer = left.shift() ?? "closed";
      if (answer === "closed" || answer === "lost") return answer;
      engine.reply = Buffer.from(answer, "latin1");
      engine.replySize = engine.reply.length;
      return "replied" as const;
    },
  };
  const sender = new Sender(shared, "outbox", { postMessage: () => {} });
  const takeEvent = (): boolean => {
    const taken = Atomics.load(shared.words, Word.eventsAhead) > 0;
    if (taken) Atomics.sub(shared.words, Word.eventsAhead, 1);
    return taken;
  };
  const rows = new DirectRows({ shared, sender, engine: () => engine, takeEvent });
  const offer = (...numbers: number[]): void => {
    writeRow(new Uint8Array(shared.row), row(...numbers));
    Atomics.store(shared.words, Word.rowOffered, 1);
    Atomics.store(shared.words, Word.eventsAhead, numbers.length);
  };
  if (handles.length > 0) offer(...handles);
  const receiver = new Receiver(shared, "outbox");
  const told = (): RowTold | undefined => {
    const message = receiver.peek();
    const read = message && readTold(Uint8Array.from(message));
    if (message) receiver.release();
    return read;
  };
  const heap = new Uint8Array(1024);
  const goOn = (size = 1024): number => rows.goOn(heap, { start: 0, size });
  const given = (): MarshalValue => decodeMarshal(heap);
  return { shared, engine, requests, rows, offer, goOn, told, given };
}

const ACK = "XACK s\xff __gears_consumer_group__";
const READ = "XREADGROUP GROUP __gears_consumer_group__ __gears_client__ COUNT 2 STREAMS s\xff >";

describe("a worker that goes on by itself", () => {
  it("acknowledges, reads, trims, tells the main thread, and gives the next batch", () => {
    const { goOn, requests, told, given } = worker([`:2\r\n${reply("1-3", "2-1")}`, ":2\r\n"], 8);
    expect(goOn()).toBe(NextBatch.there);
    expect(requests).toEqual([`${ACK} 1-1 1-2 ${READ}`, "XTRIM s\xff MINID = 1-3"]);
    expect(told()).toEqual({ handle: 7, trimmed: true, next: ["1-3", "2-1"], lost: false });
    const [handle, records, flags] = given() as readonly MarshalValue[];
    const value = new Map([["f", "v"]]);
    const expected = ["1-3", "2-1"].map((id) => new Map<string, MarshalValue>(Object.entries({ key, id, value })));
    // the key is no text
    expect([handle, records, flags]).toEqual([8, expected, 64]);
    // that was the last one of the row: the main thread acknowledges it
    expect([goOn(), requests.length, told()]).toEqual([NextBatch.none, 2, undefined]);
  });

  it("gives a batch that does not fit into its place another way", () => {
    const { goOn, rows } = worker([`:2\r\n${reply("1-3", "2-1")}`, ":2\r\n"], 8);
    expect(goOn(64)).toBe(NextBatch.long);
    expect((decodeMarshal(rows.takeLong() as Buffer) as readonly MarshalValue[])[0]).toBe(8);
    expect(rows.takeLong()).toBeUndefined();
  });

  it("ends with a batch that is not full", () => {
    const { goOn, told } = worker([`:2\r\n${reply("1-3")}`, ":2\r\n"], 8, 9);
    expect([goOn(), told()?.next]).toEqual([NextBatch.there, ["1-3"]]);
    expect([goOn(), told()]).toEqual([NextBatch.none, undefined]);
  });

  it("leaves trimming to the main thread when the way was closed after it had read", () => {
    const { goOn, told } = worker([`:2\r\n${reply("1-3", "2-1")}`, "closed"], 8);
    expect([goOn(), told()]).toEqual([
      NextBatch.there,
      { handle: 7, trimmed: false, next: ["1-3", "2-1"], lost: false },
    ]);
  });

  it.each([
    ["has nothing", ":2\r\n*-1\r\n", 2],
    ["is gone", ":0\r\n-NOGROUP No such key\r\n", 1],
  ])("tells what it has acknowledged when the stream %s", (_what, answer, commands) => {
    const { goOn, told, requests } = worker([answer, ":2\r\n"], 8);
    expect([goOn(), requests.length]).toEqual([NextBatch.none, commands]);
    expect(told()).toEqual({ handle: 7, trimmed: true, next: undefined, lost: false });
  });

  it("tells that nobody knows what has become of its commands", () => {
    const { goOn, told } = worker(["lost"], 8);
    expect([goOn(), told()]).toEqual([NextBatch.none, { handle: 7, trimmed: false, next: undefined, lost: true }]);
  });
});

describe("a worker leaves all to the main thread", () => {
  it("when it was offered nothing", () => {
    const { goOn, requests, told } = worker([]);
    expect([goOn(), requests, told()]).toEqual([NextBatch.none, [], undefined]);
  });

  it("when the way into the engine is closed", () => {
    const { goOn, engine, requests, told } = worker([], 8);
    engine.isOpen = false;
    expect([goOn(), requests, told()]).toEqual([NextBatch.none, [], undefined]);
  });

  it("when that was closed just now", () => {
    const { goOn, told } = worker(["closed"], 8);
    expect([goOn(), told()]).toEqual([NextBatch.none, undefined]);
  });

  it("when the main thread has taken back what it was given, until it is given something anew", () => {
    const { goOn, shared, requests, told, offer } = worker([`:2\r\n${reply("1-3", "2-1")}`, ":2\r\n"], 8);
    Atomics.store(shared.words, Word.eventsAhead, 0);
    expect([goOn(), requests, told()]).toEqual([NextBatch.none, [], undefined]);
    Atomics.store(shared.words, Word.eventsAhead, 1);
    expect([goOn(), requests]).toEqual([NextBatch.none, []]);
    offer(9);
    expect([goOn(), told()?.handle]).toEqual([NextBatch.there, 7]);
  });
});
