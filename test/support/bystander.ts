/**
 * Somebody else's state in a server that is attacked: registrations, time events, executions and results of a user who has
 * nothing to do with it. Tests ask whether all of it is as it was, and works.
 */
import { expect, vi } from "vitest";
import { type Client, connectClient, type Value } from "./client.ts";

const SCRIPT = `
async def later(x):
    await waiting
    return 'came back'
def wait(x):
    global waiting
    waiting = createFuture()
    return later(x)
def go_on(x):
    setFutureResults(waiting, 1)
def tick():
    execute('INCR', 'by:ticks')
GB('CommandReader', desc='by_ping').map(lambda x: 'pong').register(trigger='by_ping')
GB('CommandReader', desc='by_sync').map(lambda x: 'sync pong').register(trigger='by_sync', mode='sync')
GB('CommandReader', desc='by_wait').map(wait).register(trigger='by_wait')
GB('CommandReader', desc='by_go_on').foreach(go_on).register(trigger='by_go_on')
GB('KeysReader', desc='by:key:*').foreach(lambda x: execute('INCR', 'by:events')).register('by:key:*', mode='async_local')
GB('StreamReader', desc='by:stream').foreach(lambda x: execute('INCR', 'by:messages')).register('by:stream', trimStream=True)
registerTE(1, tick, 'by:timer')
registerTE(1, lambda: execute('INCR', 'by:ticks2'))
`;

/** Only ends what hangs, on busy machines too. */
const PATIENCE = { timeout: 120_000, interval: 25 };

/** What the script registers, as it is described. */
const REGISTERED = ["by_ping", "by_sync", "by_wait", "by_go_on", "by:key:*", "by:stream"];

export class Bystander {
  readonly #client: Client;
  readonly #waiting: Client;
  /** The execution with results that is kept. */
  #execution = "";
  #waited: Promise<Value> = Promise.resolve(null);

  private constructor(client: Client, waiting: Client) {
    this.#client = client;
    this.#waiting = waiting;
  }

  /** Sets everything up, as the user whom the connections belong to: one with all rights. */
  static async settle(port: number): Promise<Bystander> {
    const bystander = new Bystander(await connectClient(port), await connectClient(port));
    const { call } = bystander;
    expect(await call("RG.PYEXECUTE", SCRIPT, "ID", "bystander")).toBe("OK");
    bystander.#execution = String(
      await call("RG.PYEXECUTE", "GB('PythonReader').run(lambda: (yield from ['a', 'b']))", "UNBLOCKING"),
    );
    await call("RG.GETRESULTSBLOCKING", bystander.#execution);
    bystander.#wait();
    return bystander;
  }

  readonly call = (...args: string[]): Promise<Value> => this.#client.call(...args);

  /** Everything is as it was, and works. */
  async check(): Promise<void> {
    expect(await this.registrations()).toEqual(REGISTERED);
    expect(await this.#results()).toEqual([["a", "b"], []]);
    expect(await this.call("RG.TRIGGER", "by_ping")).toEqual(["pong"]);
    expect(await this.call("RG.TRIGGER", "by_sync")).toEqual(["sync pong"]);
    await this.#moves("by:events", () => this.call("SET", "by:key:1", "x"));
    await this.#moves("by:messages", () => this.call("XADD", "by:stream", "*", "a", "b"));
  }

  /** What waits goes on, and time events are called. Takes a second and more. */
  async checkWaiting(): Promise<void> {
    await this.call("RG.TRIGGER", "by_go_on");
    expect(await this.#waited).toEqual(["came back"]);
    this.#wait();
    await this.#moves("by:ticks");
    await this.#moves("by:ticks2");
  }

  #wait(): void {
    this.#waited = this.#waiting.call("RG.TRIGGER", "by_wait").catch((error: Error) => error.message);
  }

  close(): void {
    this.#client.close();
    this.#waiting.close();
  }

  /** The descriptions of all registrations, in the order of their ids. */
  async registrations(): Promise<unknown[]> {
    const dump = (await this.call("RG.DUMPREGISTRATIONS")) as Value[][];
    return dump.map((lines) => lines[lines.indexOf("desc") + 1]);
  }

  async #results(): Promise<Value> {
    return this.call("RG.GETRESULTS", this.#execution).catch((error: Error) => error.message);
  }

  async #moves(key: string, push: () => Promise<unknown> = async () => {}): Promise<void> {
    const before = Number(await this.call("GET", key));
    await push();
    await vi.waitFor(async () => expect(Number(await this.call("GET", key))).toBeGreaterThan(before), PATIENCE);
  }
}
