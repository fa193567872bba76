import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Ids, NODE_ID } from "../../src/executions/ids.ts";
import { Session, SessionRegistry } from "../../src/executions/session.ts";
import type { PythonHost } from "../../src/python/host.ts";
import type { Registration } from "../../src/registrations/registration.ts";
import { type ReaderSide, RegistrationRegistry } from "../../src/registrations/registry.ts";
import { FileStore, REGISTRATIONS_FILE } from "../../src/store/file.ts";
import { type KeptTimers, RegistrationKeeper } from "../../src/store/keeper.ts";
import type { TimeEventSpec } from "../../src/registrations/timers.ts";
import { spec } from "../support/spec.ts";
import { Lines, newDirectory } from "./support.ts";

/** A server's registrations in a directory. */
async function start(directory: string) {
  const ids = new Ids();
  const sessions = new SessionRegistry();
  const activated: Registration[] = [];
  const reader: ReaderSide = {
    check: () => {},
    activate: (registration) => activated.push(registration),
    deactivate: () => {},
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
  const registrations = new RegistrationRegistry({ ids, host, sessions, readers });
  const store = new FileStore({ directory, versions: { regears: "1", python: "3.14" }, log: new Lines() });
  const timers = new FakeTimers();
  const keeper = new RegistrationKeeper({ store, registrations, ids, timers });
  const count = await keeper.restore();
  return { ids, sessions, registrations, timers, keeper, activated, told, count };
}

/** Time events that never fire. */
class FakeTimers implements KeptTimers {
  onChange: () => void = () => {};
  readonly all: { session: Session; spec: TimeEventSpec }[] = [];

  list(): { session: Session; spec: TimeEventSpec }[] {
    return this.all;
  }

  forgetAll(): void {
    this.all.length = 0;
  }

  restore(session: Session, spec: TimeEventSpec): void {
    this.all.push({ session, spec });
    this.onChange();
  }
}

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
    const directory = await newDirectory();
    const first = await start(directory);
    expect(first.count).toBe(0);
    const [a, b] = [new Session("a", "first", ["numpy"]), new Session("b")];
    first.registrations.add(a, spec({ description: "one" }));
    first.registrations.add(b, spec({ reader: "CommandReader", trigger: Buffer.from("t") }));
    first.ids.skip(0, 10);
    first.registrations.add(a, spec({ reader: "StreamReader", batch: 3, hasOnRegistered: true }));
    expect(await first.keeper.flush()).toBe(true);

    const second = await start(directory);
    expect(second.count).toBe(3);
    expect(shown(second.registrations.list())).toEqual(shown(first.registrations.list()));
    expect(second.activated.map(({ number }) => number)).toEqual([0, 1, 12]);
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
    const directory = await newDirectory();
    const first = await start(directory);
    const old = new Session("s");
    const gone = first.registrations.add(old, spec());
    first.registrations.add(old, spec({ description: "replaced" }));
    first.registrations.remove(gone, false);
    const declarations = first.registrations.declare(new Session("s"), () => old);
    declarations.add(spec({ description: "new" }));
    declarations.commit();
    await expect.poll(() => readFile(join(directory, REGISTRATIONS_FILE), "utf8").catch(() => "")).toContain('"new"');
    const second = await start(directory);
    expect(second.registrations.list().map(({ spec: { description } }) => description)).toEqual(["new"]);
  });

  it("come back with the time events of their sessions, and of sessions that have nothing else", async () => {
    const directory = await newDirectory();
    const first = await start(directory);
    const [both, timed] = [new Session("both"), new Session("timed", "only time events")];
    first.registrations.add(both, spec());
    first.timers.restore(both, { number: 3, seconds: 1, key: "k", blob: Buffer.from([0, 255]) });
    first.timers.restore(timed, { number: 4, seconds: 60, key: "l", blob: Buffer.from("x") });
    await first.keeper.flush();

    const second = await start(directory);
    expect(second.count).toBe(1);
    expect(second.timers.all.map(({ spec: fields }) => fields)).toEqual(
      first.timers.all.map(({ spec: fields }) => fields),
    );
    expect(second.timers.all[0]?.session).toBe(second.registrations.list()[0]?.session);
    expect(second.timers.all[1]?.session).toMatchObject({ id: "timed", description: "only time events" });
    expect(second.sessions.live().map(({ id }) => id)).toEqual(["both"]);
  });

  it("come back a second time although nothing was changed", async () => {
    const directory = await newDirectory();
    const first = await start(directory);
    first.registrations.add(new Session("s"), spec());
    await first.keeper.close();
    await (await start(directory)).keeper.close();
    expect((await start(directory)).count).toBe(1);
  });

  it("are kept as they were when the server closed", async () => {
    const directory = await newDirectory();
    const first = await start(directory);
    const registration = first.registrations.add(new Session("s"), spec());
    await first.keeper.close();
    first.registrations.remove(registration, true);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect((await start(directory)).count).toBe(1);
  });

  it("are gone when all were unregistered, and do not come back from the generation before", async () => {
    const directory = await newDirectory();
    const first = await start(directory);
    const registration = first.registrations.add(new Session("s"), spec());
    await first.keeper.flush();
    first.registrations.remove(registration, false);
    await first.keeper.flush();
    expect((await start(directory)).count).toBe(0);
  });
});
