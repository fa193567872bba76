import { afterEach, describe, expect, it } from "vitest";
import { Ids, NODE_ID } from "../../src/executions/ids.ts";
import { Session, SessionRegistry } from "../../src/executions/session.ts";
import type { Maybe } from "../../src/maybe.ts";
import type { PythonHost } from "../../src/python/python-host.ts";
import type { Registration } from "../../src/registrations/registration.ts";
import { type ReaderSide, RegistrationRegistry } from "../../src/registrations/registration-registry.ts";
import type { KeptTimer, TimeEventSpec } from "../../src/registrations/time-events.ts";
import { FileStore } from "../../src/store/file-store.ts";
import { type KeptTimers, RegistrationKeeper } from "../../src/store/registration-keeper.ts";
import {
  type ChangeFile,
  SeparateStore,
  type Store,
  type StoredChange,
  type StoredState,
} from "../../src/store/store.ts";
import { spec } from "../support/spec.ts";
import { noSpace } from "./faulty-disk.ts";
import { Lines } from "./support.ts";
import { newFolder } from "../support/folders.ts";

const VERSIONS = { regears: "1", python: "3.14" };
const running: RegistrationKeeper[] = [];
afterEach(async () => {
  for (const keeper of running.splice(0)) await keeper.close();
});

/** A server's registrations in a directory, or in another store. */
async function start(where: string | ChangeFile | Store) {
  const ids = new Ids();
  const sessions = new SessionRegistry();
  const active = new Set<Registration>();
  const reader: ReaderSide = {
    check: () => {},
    activate: (registration) => active.add(registration),
    deactivate: (registration) => active.delete(registration),
  };
  const told: unknown[] = [];
  const host = {
    retain: () => {},
    release: () => {},
    tell: (_session: unknown, message: unknown) => told.push(message),
    ask: () => Promise.resolve(""),
    nextHandle: () => 1,
    callbackEnded: () => {},
  } as unknown as PythonHost;
  const readers = new Map([
    ["KeysReader", reader],
    ["StreamReader", reader],
    ["CommandReader", reader],
  ] as const);
  const log = new Lines();
  const registrations = new RegistrationRegistry({ ids, host, sessions, readers });
  const file = typeof where === "string" ? new FileStore({ directory: where, versions: VERSIONS, log }) : where;
  const store = "settle" in file ? file : new SeparateStore(file);
  const timers = new FakeTimers();
  const keeper: RegistrationKeeper = new RegistrationKeeper({
    ...{ store, registrations, ids, timers, log },
    retryMs: 10,
  });
  running.push(keeper);
  const count = await keeper.restore(() => Promise.resolve(new Set()));
  return { ids, sessions, registrations, timers, keeper, active, told, count, log };
}

type Server = Awaited<ReturnType<typeof start>>;

/** A script that registers, and resolves when it may be answered. */
async function run(
  { registrations }: Server,
  session: Session,
  descriptions: readonly string[],
  replaced?: Session,
): Promise<Registration[]> {
  const declarations = registrations.declare(session, () => replaced);
  const made = descriptions.map((description) => declarations.add(spec({ description })));
  await declarations.commit();
  return made;
}

const described = ({ registrations }: Server): (string | undefined)[] =>
  registrations.list().map(({ spec: { description } }) => description);

/** Time events that never fire. */
class FakeTimers implements KeptTimers {
  onChange: (timer: KeptTimer, isThere: boolean) => void = () => {};
  kept = async (): Promise<void> => {};
  entered = (): void => {};
  readonly all = new Map<number, KeptTimer>();

  list(): KeptTimer[] {
    return [...this.all.values()];
  }

  forgetAll(): void {
    this.all.clear();
  }

  restore(session: Session, timer: TimeEventSpec): void {
    const made = { number: timer.number, session, spec: timer };
    this.all.set(timer.number, made);
    this.onChange(made, true);
  }

  takeBack({ number }: KeptTimer): void {
    const timer = this.all.get(number);
    this.all.delete(number);
    if (timer) this.onChange(timer, false);
  }
}

/** A store whose writes end when they are told to. */
class SlowStore implements ChangeFile {
  readonly written: StoredChange[] = [];
  readonly ends: ((error?: Error) => void)[] = [];

  load(): Promise<never[]> {
    return Promise.resolve([]);
  }

  write(change: StoredChange): Promise<void> {
    return new Promise((resolve, reject) => {
      this.ends.push((error) => {
        if (error) return reject(error);
        this.written.push(change);
        resolve();
      });
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Data that take nothing while they are told so; what is in them survives. */
class DataStore implements Store {
  readonly there = new Set<number>();
  refuses = false;
  /** Resolves when a change enters; undefined: within the call. */
  way: Promise<void> | undefined;
  settled: Promise<void> = Promise.resolve();

  load(): Promise<StoredState> {
    return Promise.resolve({ items: [], newer: [], ended: [] });
  }

  enter({ added, removed }: StoredChange): Maybe<void> {
    if (this.refuses) throw noSpace();
    const take = (): void => {
      for (const { number } of removed) this.there.delete(number);
      for (const { number } of added) this.there.add(number);
    };
    if (this.way) return this.way.then(take);
    take();
  }

  settle(): Promise<void> {
    return this.refuses ? Promise.reject(noSpace()) : this.settled;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Ids and what else can be seen of registrations. */
const shown = (registrations: readonly Registration[]) =>
  registrations.map(({ id, number, spec: fields, session, active }) => ({
    id,
    number,
    fields,
    active,
    session: [session.id, session.description, session.requirements],
  }));

describe("registrations over a restart", () => {
  it("come back with their ids, sessions and arguments, and ids go on above them", async () => {
    const directory = newFolder();
    const first = await start(directory);
    expect(first.count).toBe(0);
    const [a, b] = [new Session("a", "first", ["numpy"]), new Session("b")];
    await first.registrations.add(a, spec({ description: "one" }));
    await first.registrations.add(b, spec({ reader: "CommandReader", trigger: Buffer.from("t") }));
    first.ids.skip(0, 10);
    await first.registrations.add(a, spec({ reader: "StreamReader", batch: 3, hasOnRegistered: true }));

    const second = await start(directory);
    expect(second.count).toBe(3);
    expect(shown(second.registrations.list())).toEqual(shown(first.registrations.list()));
    expect([...second.active].map(({ number }) => number)).toEqual([0, 1, 12]);
    expect(second.sessions.live().map(({ id }) => id)).toEqual(["a", "b"]);
    const [one, , three] = second.registrations.list();
    expect(one?.session).toBe(three?.session);
    expect(one?.session.revive()?.map(([kind, , number]) => [kind, number])).toEqual([
      ["restore", 0],
      ["restore", 12],
    ]);
    expect(second.ids.nextRegistration().id).toBe(`${NODE_ID}-13`);
    expect(second.ids.nextExecution().number).toBe(0);
  });

  it("are kept without being asked, and so is what was unregistered or replaced", async () => {
    const directory = newFolder();
    const first = await start(directory);
    const old = new Session("s");
    const [gone] = await run(first, old, ["gone", "replaced"]);
    if (gone) first.registrations.remove(gone, false);
    void run(first, new Session("s"), ["new"], old);
    await expect.poll(async () => described(await start(directory))).toEqual(["new"]);
  });

  it("come back with the time events of their sessions, and of sessions that have nothing else", async () => {
    const directory = newFolder();
    const first = await start(directory);
    const [both, timed] = [new Session("both"), new Session("timed", "only time events")];
    await first.registrations.add(both, spec());
    first.timers.restore(both, { number: 3, seconds: 1, key: "k", blob: Buffer.from([0, 255]) });
    first.timers.restore(timed, { number: 4, seconds: 60, key: "l", blob: Buffer.from("x") });
    await first.keeper.flush();

    const second = await start(directory);
    expect(second.count).toBe(1);
    const [one, two] = second.timers.list();
    expect([one?.spec, two?.spec]).toEqual(first.timers.list().map(({ spec: fields }) => fields));
    expect(one?.session).toBe(second.registrations.list()[0]?.session);
    expect(two?.session).toMatchObject({ id: "timed", description: "only time events" });
    expect(second.sessions.live().map(({ id }) => id)).toEqual(["both"]);
  });

  it("come back a second time although nothing was changed", async () => {
    const directory = newFolder();
    const first = await start(directory);
    await first.registrations.add(new Session("s"), spec());
    await first.keeper.close();
    await (await start(directory)).keeper.close();
    expect((await start(directory)).count).toBe(1);
  });

  it("are kept as they were when the server closed", async () => {
    const directory = newFolder();
    const first = await start(directory);
    const registration = await first.registrations.add(new Session("s"), spec());
    await first.keeper.close();
    first.registrations.remove(registration, true);
    await first.registrations.kept();
    expect((await start(directory)).count).toBe(1);
  });

  it("are gone when all were unregistered, and do not come back from the generation before", async () => {
    const directory = newFolder();
    const first = await start(directory);
    const registration = await first.registrations.add(new Session("s"), spec());
    first.registrations.remove(registration, false);
    await first.keeper.flush();
    expect((await start(directory)).count).toBe(0);
  });
});

describe("those who wait for the disk", () => {
  it("are woken by the write that has what they changed, and by no earlier one", async () => {
    const store = new SlowStore();
    const server = await start(store);
    const woken: string[] = [];
    const script = (name: string): Promise<void> =>
      run(server, new Session(name), [name]).then(() => void woken.push(name));
    const scripts = [script("a")];
    await turn();
    // These come while the first write goes on: they share the next one.
    scripts.push(script("b"), script("c"));
    await turn();
    expect(store.ends).toHaveLength(1);
    store.ends.shift()?.();
    await turn();
    expect(woken).toEqual(["a"]);
    expect(store.written[0]?.added).toHaveLength(1);
    store.ends.shift()?.();
    await Promise.all(scripts);
    expect(store.written[1]?.added).toHaveLength(2);
    expect(store.ends).toEqual([]);
  });

  it("write nothing of what came and went meanwhile", async () => {
    const store = new SlowStore();
    const server = await start(store);
    const first = run(server, new Session("a"), ["a"]);
    await turn();
    const second = run(server, new Session("b"), ["b"]);
    const [, registration] = server.registrations.list();
    if (registration) server.registrations.remove(registration, false);
    store.ends.shift()?.();
    await first;
    await turn();
    store.ends.shift()?.();
    await second;
    expect(store.written.map(({ added, removed }) => added.length + removed.length)).toEqual([1, 0]);
  });
});

describe("what can not be written", () => {
  const REFUSED = "MISCONF Errors writing the registrations to disk: ENOSPC: no space left on device";

  it("is refused and taken back, with all that was built on it", async () => {
    const store = new SlowStore();
    const server = await start(store);
    const old = new Session("s", "old");
    const before = run(server, old, ["one", "two"]);
    await turn();
    store.ends.shift()?.();
    const [one] = await before;

    const upgraded = new Session("s", "new");
    const upgrade = run(server, upgraded, ["three"], old);
    await turn();
    expect(described(server)).toEqual(["three"]);
    const further = run(server, new Session("s"), ["four"], upgraded);
    const timer = { number: 5, seconds: 1, key: "k", blob: Buffer.alloc(0) };
    server.timers.restore(new Session("t"), timer);
    const created = server.keeper.flush();
    store.ends.shift()?.(noSpace());
    for (const waiting of [upgrade, further, created]) await expect(waiting).rejects.toThrow(REFUSED);
    expect(described(server)).toEqual(["one", "two"]);
    expect([...server.active].map(({ number }) => number)).toEqual([0, 1]);
    expect(server.sessions.live()).toEqual([old]);
    expect(server.sessions.dead()).toEqual([]);
    expect(old.dead).toBe(false);
    expect(server.timers.list()).toEqual([]);
    // Python still has those that are back, and none of the others.
    await turn();
    expect(new Set(server.told)).toEqual(
      new Set([
        ["unregister", 2],
        ["unregister", 3],
      ]),
    );

    if (one) server.registrations.remove(one, false);
    const removed = server.registrations.kept();
    await turn();
    store.ends.shift()?.();
    await removed;
    expect(store.written.at(-1)).toEqual({ added: [], removed: [{ kind: "registration", number: 0 }] });
    expect(server.log.lines).toEqual([
      expect.stringMatching(/^error registrations can not be kept, and are refused until they can: ENOSPC/),
      "info registrations are kept again",
    ]);
  });

  it("has had no effect when a step registers it", async () => {
    const store = new SlowStore();
    const server = await start(store);
    const session = new Session("s");
    const added = server.registrations.add(session, spec());
    await turn();
    expect(server.active.size).toBe(0);
    store.ends.shift()?.(noSpace());
    await expect(added).rejects.toThrow(REFUSED);
    expect(server.registrations.list()).toEqual([]);
    expect(session.registrations.size).toBe(0);
    const again = server.registrations.add(session, spec());
    await turn();
    store.ends.shift()?.();
    expect((await again).active).toBe(true);
  });

  it("is tried again when it is the end of a time event, for nobody waits for that", async () => {
    const store = new SlowStore();
    const server = await start(store);
    const timer = { number: 5, seconds: 1, key: "k", blob: Buffer.alloc(0) };
    server.timers.restore(new Session("t"), timer);
    await turn();
    store.ends.shift()?.();
    await turn();
    const [made] = server.timers.list();
    if (made) server.timers.takeBack(made);
    await expect.poll(() => store.ends.length).toBe(1);
    store.ends.shift()?.(noSpace());
    await expect.poll(() => store.ends.length).toBe(1);
    expect(server.timers.list()).toEqual([]);
    store.ends.shift()?.();
    await server.keeper.flush();
    expect(store.written.at(-1)).toEqual({ added: [], removed: [{ kind: "timer", number: 5 }] });
  });

  it("is not there when it ends after all, whether or not it had entered the data", async () => {
    const store = new DataStore();
    const server = await start(store);
    const [one, two] = await run(server, new Session("s"), ["one", "two"]);
    if (!one || !two) throw new Error("nothing was registered");
    store.refuses = true;
    server.registrations.remove(one, false);
    await expect(server.registrations.kept()).rejects.toThrow(REFUSED);
    expect([...store.there]).toEqual([0, 1]);
    expect(described(server).toSorted()).toEqual(["one", "two"]);
    store.refuses = false;
    server.registrations.remove(one, false);
    await server.registrations.kept();
    expect([...store.there]).toEqual([1]);
  });

  it("leaves the data also when it was on its way there while what came before could not be kept", async () => {
    const store = new DataStore();
    const server = await start(store);
    let fail = (_error: Error): void => {};
    store.settled = new Promise((_, reject) => {
      fail = reject;
    });
    const first = run(server, new Session("s"), ["one"]);
    await turn();
    let enter = (): void => {};
    store.way = new Promise((resolve) => {
      enter = resolve;
    });
    const second = run(server, new Session("t"), ["two"]);
    fail(noSpace());
    await expect(first).rejects.toThrow(REFUSED);
    store.settled = Promise.resolve();
    enter();
    await expect(second).rejects.toThrow(REFUSED);
    store.way = undefined;
    await run(server, new Session("u"), ["three"]);
    expect([...store.there]).toEqual([2]);
    expect(described(server)).toEqual(["three"]);
  });
});
