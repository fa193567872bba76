import { describe, expect, it } from "vitest";
import type { CallReply } from "../../src/python/python-host.ts";
import { decodeMarshal, encodeMarshal, MarshalReader, type MarshalValue } from "../../src/python/marshal.ts";
import type { FlowFunction, FlowRun } from "../support/fake-host.ts";
import { counts, createWorld, noting, plain, sendLines, type TestClient, useWorld, type World } from "./set-up.ts";
import { turns } from "../support/waiting.ts";

let world: World;
let client: TestClient;

useWorld((...made) => {
  [world, client] = made;
});

const send = (...lines: string[]): Promise<unknown> => sendLines(client, ...lines);

describe("CONFIG of notify-keyspace-events", () => {
  it("shows users what they have set", async () => {
    const { seen, note } = noting();
    const get = (): Promise<unknown> => send("CONFIG GET notify-keyspace-events");
    const registration = world.register({}, note);
    expect(await get()).toEqual(["notify-keyspace-events", ""]);
    expect(await send("CONFIG SET maxmemory 0 notify-keyspace-events Ex")).toBe("OK");
    expect(await get()).toEqual(["notify-keyspace-events", "xE"]);
    const all = (await send("CONFIG GET *")) as string[];
    expect(all[all.indexOf("notify-keyspace-events") + 1]).toBe("xE");
    expect(String(await send("CONFIG SET notify-keyspace-events Q"))).toMatch(/^-/);
    await send("SET k 1");
    await world.idle();
    expect(seen).toEqual(['set k string "1"']);
    world.registrations.remove(registration, false);
    expect(plain(await world.admin.call("CONFIG", "GET", "notify-keyspace-events"))).toEqual([
      "notify-keyspace-events",
      "xE",
    ]);
  });
});

describe("commands=[…]", () => {
  /** The handlers as Python calls them. */
  const caller = { home: {}, job: (handle: number) => world.host.job(handle) };
  const answerOf = (reply: CallReply | Promise<CallReply>): MarshalValue => {
    if (reply instanceof Promise) throw new Error("no reply yet");
    return decodeMarshal(reply.value);
  };
  const overrideReply = (run: FlowRun, value: MarshalValue): unknown => {
    const args = { value: new MarshalReader(encodeMarshal(value)), job: run.job.handle };
    return answerOf(world.readers.handlers.override_reply(caller, args));
  };
  const getCommand = (run: FlowRun): unknown =>
    answerOf(world.readers.handlers.get_command(caller, { job: run.job.handle }));
  const override: FlowFunction = (run) => void overrideReply(run, `made for ${run.records[0]?.get("key")}`);

  it.each(["sync", "async", "async_local"] as const)("%s: override_reply is the client's reply", async (mode) => {
    const registration = world.register({ eventTypes: ["keymiss"], commands: ["get"], mode }, override);
    expect(await send("GET a")).toBe("made for a");
    expect(await send("SET c real")).toBe("OK");
    expect(await send("GET c")).toBe("real");
    expect(await send("STRLEN d")).toBe(0);
    expect(counts(registration)).toEqual([1, 1, 0, 0]);
  });

  it("holds the reply until the execution has ended, its own reply without override_reply", async () => {
    const order: string[] = [];
    world.register({ eventTypes: ["keymiss"], commands: ["GET"] }, async ({ wait }) => {
      await wait(turns());
      order.push("execution");
    });
    expect(await send("get a")).toBe(null);
    order.push("reply");
    expect(order).toEqual(["execution", "reply"]);
  });

  it("gives the command as typed", async () => {
    const seen: unknown[] = [];
    world.register(
      { eventTypes: ["keymiss"], commands: ["get"], mode: "sync" },
      (run) => void seen.push(getCommand(run)),
    );
    await send("gEt x");
    expect(seen).toEqual([["gEt", "x"]]);
  });

  it("fires once for each key; only one reply can be given", async () => {
    const registration = world.register({ eventTypes: ["keymiss"], commands: ["mget"], mode: "sync" }, override);
    await send("SET a 1");
    expect(await send("MGET a b")).toBe("made for b");
    expect(await send("MGET a a")).toEqual(["1", "1"]);
    expect(await send("MGET a c d")).toBe("made for c");
    expect(counts(registration)).toEqual([3, 2, 1, 0]);
    expect(registration.statistics.lastError).toBe("Can only override reply once");
  });

  it("fires for the named commands only, and keeps clients apart", async () => {
    const { seen, note } = noting();
    world.register({ prefix: "p:*", commands: ["set"], mode: "sync" }, note);
    await send("SET p:1 a", "APPEND p:1 b", "DEL p:1");
    expect(seen).toEqual(['set p:1 string "a"']);
    world.register({ prefix: "q:*", eventTypes: ["keymiss"], commands: ["get"] }, override);
    const clients = [world.client(), world.client(), world.client()];
    const replies = await Promise.all(clients.map((other, at) => other.line(`GET q:${at}`)));
    expect(plain(replies)).toEqual(["made for q:0", "made for q:1", "made for q:2"]);
  });

  it("links no background execution to execute()", async () => {
    const registration = world.register({ eventTypes: ["keymiss"], commands: ["get"] }, override);
    expect(await world.execute({}, "GET", "a")).toBe(null);
    await world.idle();
    expect(registration.statistics.lastError).toBe("Can not get command ctx");
  });

  it("changes what execute() gives in mode sync", async () => {
    world.register({ eventTypes: ["keymiss"], commands: ["get"], mode: "sync" }, override);
    expect(plain(await world.execute({}, "GET", "a"))).toBe("made for a");
  });

  it("knows no command outside of a linked execution", async () => {
    const errors: string[] = [];
    world.register({ mode: "sync" }, (run) => {
      try {
        getCommand(run);
      } catch (error) {
        errors.push(String(error));
      }
    });
    await send("SET a 1");
    expect(errors).toEqual(["ReplyError: Can not get command ctx"]);
  });

  it.each([
    [["nosuch"], "*", "bad reply on COMMAND command"],
    [["eval"], "*", "Can not hook a command which are not allowed inside a script"],
    [["multi"], "*", "Can not hook a command which are not allowed inside a script"],
    [["blpop"], "*", "Can not hook a command which are not allowed inside a script"],
    [["get", "sort"], "*", "Can not hook a command with moveable keys by key prefix"],
    [["xread"], "*", "Can not hook a command with moveable keys by key prefix"],
    [["ping"], "*", "Can not hook a command by key prefix with none positive first key"],
    [["get"], "", "Empty perfix given to command hooker"],
  ])("refuses %j with prefix %j", (commands, prefix, text) => {
    expect(() => world.register({ commands, prefix })).toThrow(text);
  });

  it("takes an empty list for none", async () => {
    const { seen, note } = noting();
    world.register({ commands: [], mode: "sync" }, note);
    await send("SET k 1");
    expect(seen).toHaveLength(1);
  });
});

describe("a backlog", () => {
  it("makes writers wait until it is worked off", async () => {
    await world.close();
    world = await createWorld({ maxBacklog: 10 });
    client = world.client();
    world.register({ prefix: "p:*" });
    world.host.busy = true;
    await world.admin.pipeline(Array.from({ length: 20 }, (_, i) => ["SET", `p:${i}`, "x"]));
    const { middleware } = world.readers;
    expect([middleware.backlogged, middleware.active]).toEqual([true, true]);
    let replied = false;
    const write = client.line("SET q 1").then(() => {
      replied = true;
    });
    expect(await world.client().line("GET q").then(plain)).toBe("1");
    expect(replied).toBe(false);
    world.host.resume();
    await write;
    expect([middleware.backlogged, middleware.active]).toEqual([false, false]);
  });
});
