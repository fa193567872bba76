/** One engine, several threads: what one of them does is done or not done, and the main thread decides who may do anything. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { InternalConnections } from "../../src/engine/internal-connections.ts";
import type { EngineThread, EngineThreads } from "../../src/engine/engine-threads.ts";
import { until } from "../support/waiting.ts";

const COMMANDS = new Map(
  ["ping", "incr", "append", "get", "set", "lpush", "lrange", "setrange", "strlen", "del"].map((name) => [name, -1]),
);
const WORKER = new URL("./threads-worker.mjs", import.meta.url);
const MAX_REPLY = 8 * 1024 * 1024;
/** How many threads are ended in the middle of what they do. */
const ENDED = Number(process.env.REGEARS_ENDED_THREADS ?? 15);

type Ran = string | { readonly reply: string; readonly othersWait: boolean };

let engine: EmbeddedEngine;
let threads: EngineThreads;
let client: EngineClient;
let ended: Error | undefined;
const running: Thread[] = [];

beforeEach(async () => {
  ended = undefined;
  engine = new EmbeddedEngine();
  engine.onExit = (_code, reason) => {
    ended = reason;
  };
  await engine.start();
  const connections = new InternalConnections(engine);
  await connections.start("");
  const shared = engine.share(
    () => COMMANDS,
    () => connections.lend(),
  );
  if (!shared) throw new Error("the engine can not be shared here");
  threads = shared;
  client = connections.open();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((thread) => thread.end()));
  await engine.stop();
});

/** A thread with its engine. */
class Thread {
  readonly handle: EngineThread;
  readonly counters = new Int32Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly exited: Promise<unknown>;

  constructor() {
    const handle = threads.add();
    if (!handle) throw new Error("there are too many threads");
    this.handle = handle;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.unref();
    const workerData = { share: handle.share, maxReply: MAX_REPLY, port: port2, counters: this.counters };
    this.#worker = new Worker(WORKER, { workerData, transferList: [port2] });
    this.exited = new Promise((resolve) => this.#worker.once("exit", resolve));
    running.push(this);
  }

  /** What became of commands there. */
  run(...commands: readonly (readonly string[])[]): Promise<Ran[]> {
    const answer = new Promise<Ran[]>((resolve) => this.#worker.once("message", resolve));
    this.#port.postMessage({ kind: "run", commands });
    return answer;
  }

  /** Sends the commands over and over. */
  loop(times: number, ...commands: readonly (readonly string[])[]): Promise<unknown> {
    const answer = new Promise((resolve) => this.#worker.once("message", resolve));
    this.#port.postMessage({ kind: "loop", commands, times });
    return answer;
  }

  dieInside(): void {
    this.#port.postMessage({ kind: "die inside" });
  }

  async begun(): Promise<void> {
    while (Atomics.load(this.counters, 1) === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  async end(): Promise<boolean> {
    this.handle.revoke();
    await this.#worker.terminate();
    this.#port.close();
    return this.handle.ended();
  }
}

async function openThread(): Promise<Thread> {
  const thread = new Thread();
  thread.handle.open();
  expect(await thread.run(["PING"])).toEqual([{ reply: "+PONG\r\n", othersWait: false }]);
  return thread;
}

const number = async (key: string): Promise<number> => Number(await client.call("GET", key));

describe("threads that share the engine", () => {
  it("get what the main thread would", async () => {
    const thread = await openThread();
    const bytes = "\u0000\u00ff\r\n";
    const ran = await thread.run(["SET", "k", bytes], ["GET", "k"], ["INCR", "k"], ["GET"], ["LPUSH", "l", "a", "b"]);
    expect(ran.map((one) => (typeof one === "string" ? one : one.reply))).toEqual([
      "+OK\r\n",
      `$5\r\n${Buffer.from(bytes).toString("latin1")}\r\n`,
      "-ERR value is not an integer or out of range\r\n",
      "-ERR wrong number of arguments for 'get' command\r\n",
      ":2\r\n",
    ]);
    expect(String(await client.call("GET", "k"))).toBe(bytes);
  });

  it("take turns, and lose nothing", async () => {
    const two = [await openThread(), await openThread()];
    const loops = two.map((thread) => thread.loop(5_000, ["INCR", "sum"], ["APPEND", "text", "x"]));
    for (let i = 0; i < 1_000; i++) await client.call("INCR", "sum");
    await Promise.all(loops);
    expect(await number("sum")).toBe(11_000);
    expect(Number(await client.call("STRLEN", "text"))).toBe(10_000);
  });

  it("do nothing from the moment on that the main thread has closed the way", async () => {
    const thread = await openThread();
    const loop = thread.loop(300_000, ["INCR", "n"]);
    await thread.begun();
    for (let round = 0; round < 200; round++) {
      threads.closeAll();
      const before = await number("n");
      // the thread would use any time there is; how much is another matter each round
      await new Promise((resolve) => setTimeout(resolve, round % 3));
      expect(await number("n")).toBe(before);
      thread.handle.open();
    }
    await loop;
    expect(await number("n")).toBe(Atomics.load(thread.counters, 1));
  });

  it("are kept out for as long as was said, or until that is taken back", async () => {
    const thread = await openThread();
    threads.closeFor(1_000_000);
    thread.handle.open();
    expect(await thread.run(["PING"])).toEqual(["closed"]);
    threads.endPause();
    thread.handle.open();
    expect(await thread.run(["PING"])).toEqual([{ reply: "+PONG\r\n", othersWait: false }]);
  });

  it("do not keep the main thread out", async () => {
    const three = [await openThread(), await openThread(), await openThread()];
    const loops = three.map((thread) => thread.loop(1_000_000, ["INCR", "n"]));
    await Promise.all(three.map((thread) => thread.begun()));
    let slowest = 0;
    for (let i = 0; i < 300; i++) {
      const begun = performance.now();
      await client.call("PING");
      slowest = Math.max(slowest, performance.now() - begun);
    }
    expect(slowest).toBeLessThan(1_000);
    threads.closeAll();
    await Promise.all(loops);
  });

  it("are ended without harm, wherever they are", async () => {
    let [begun, done] = [0, 0];
    for (let round = 0; round < ENDED; round++) {
      const thread = new Thread();
      thread.handle.open();
      void thread.loop(1_000_000, ["INCR", "first"], ["INCR", "second"]);
      await thread.begun();
      // at another moment of its work each round
      await new Promise((resolve) => setTimeout(resolve, round % 5));
      expect(await thread.end()).toBe(true);
      running.pop();
      begun += Atomics.load(thread.counters, 0);
      done += Atomics.load(thread.counters, 1);
      const [first, second] = [await number("first"), await number("second")];
      // each was stopped between two commands, or after one
      expect(first - second).toBeGreaterThanOrEqual(0);
      expect(first - second).toBeLessThanOrEqual(round + 1);
      expect(first).toBeLessThanOrEqual(begun);
      expect(second).toBeGreaterThanOrEqual(done);
    }
    expect(ended).toBeUndefined();
  });

  it("get long replies whole, send long commands, and are told of replies that are too long", async () => {
    const thread = await openThread();
    const long = "0123456789".repeat(20_000);
    const values = Array.from({ length: 50 }, () => long.slice(0, 100_000));
    const [set, get, push, range, big, lost, after] = (await thread.run(
      ["SET", "long", long],
      ["GET", "long"],
      ["LPUSH", "list", ...values],
      ["LRANGE", "list", "0", "-1"],
      ["SETRANGE", "huge", "9000000", "x"],
      ["GET", "huge"],
      ["STRLEN", "huge"],
    )) as [Ran, { reply: string }, Ran, { reply: string }, Ran, Ran, Ran];
    expect([set, push, big, after]).toMatchObject([
      { reply: "+OK\r\n" },
      { reply: ":50\r\n" },
      { reply: ":9000001\r\n" },
      { reply: ":9000001\r\n" },
    ]);
    expect(get.reply).toBe(`$200000\r\n${long}\r\n`);
    expect(range.reply.length).toBe(5 + 50 * (9 + 100_000 + 2));
    expect(lost).toBe("too long");
  });

  it("see the memory that others have made it grow to", async () => {
    const thread = await openThread();
    await client.call("SETRANGE", "main", "40000000", "m");
    const pages = ["SETRANGE", "thread", "60000000", "t"];
    const ran = await thread.run(pages, ["STRLEN", "main"], ["SET", "small", "1"]);
    expect(ran).toMatchObject([{ reply: ":60000001\r\n" }, { reply: ":40000001\r\n" }, { reply: "+OK\r\n" }]);
    expect(Number(await client.call("STRLEN", "thread"))).toBe(60_000_001);
    expect(String(await client.call("GETRANGE", "thread", "60000000", "-1"))).toBe("t");
  });

  it("say that others wait for what they bring", async () => {
    const thread = await openThread();
    const waiting = client.call("BLPOP", "list", "0");
    const other = new EngineClient(engine.connect());
    await other.call("PING");
    expect(await thread.run(["LPUSH", "list", "value"])).toEqual([{ reply: ":1\r\n", othersWait: true }]);
    engine.turnNext();
    expect(String(await waiting)).toBe("list,value");
  });

  it("whose connection somebody ends are out until they get another", async () => {
    const thread = await openThread();
    const listed = String(await client.call("CLIENT", "LIST"));
    const ids = [...listed.matchAll(/id=(\d+) .*cmd=ping/g)].map(([, id]) => id ?? "");
    expect(ids).toHaveLength(1);
    await client.call("CLIENT", "KILL", "ID", ids[0] ?? "");
    expect(["closed", "lost"]).toContain((await thread.run(["INCR", "n"]))[0]);
    expect(await number("n")).toBe(0);
    thread.handle.open();
    expect(await thread.run(["INCR", "n"])).toMatchObject([{ reply: ":1\r\n" }]);
  });

  it("that die inside end the engine, with the reason", async () => {
    const thread = await openThread();
    thread.dieInside();
    running.pop();
    // either who is told of the thread's end says so, or the main thread finds it out when it wants to get in
    await Promise.race([thread.exited, until(() => ended !== undefined)]);
    if (!ended) expect(thread.handle.ended()).toBe(false);
    await until(() => ended !== undefined);
    expect(String(ended?.cause)).toMatch(/died inside/);
  });
});
