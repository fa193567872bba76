/** What is known of engine commands, compared with what the engine in this process tells of its own. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EngineCommand, EngineCommands } from "../../src/engine/engine-commands.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { hasForm, TRAITS, type Traits, traitsOf, wordOf } from "../../src/engine/traits.ts";
import { PLANNERS } from "../../src/gateway/planners.ts";

const commands = new EngineCommands();
const engine = new EmbeddedEngine();

beforeAll(async () => {
  await engine.start();
  const client = new EngineClient(engine.connect());
  await commands.load(client);
  client.close();
});
afterAll(() => engine.stop());

/** The names of the commands that have a trait. */
const having = (trait: keyof Traits): string[] =>
  [...TRAITS].flatMap(([name, traits]) => (traits[trait] ? [name] : []));

const found = (name: string): EngineCommand => {
  const command = commands.find(name);
  if (!command) throw new Error(`the engine has no command ${name}`);
  return command;
};
const words = (text: string): Buffer[] => text.split(" ").map((word) => Buffer.from(word));

describe("the rows", () => {
  it("are of commands that the engine has, each once and in lower case", () => {
    expect([...TRAITS.keys()].filter((name) => !commands.find(name))).toEqual([]);
    expect([...TRAITS.keys()].filter((name) => name !== name.toLowerCase())).toEqual([]);
    expect([...PLANNERS.keys()].filter((name) => !commands.find(name))).toEqual([]);
  });

  it("say nothing of a command that has no row", () => {
    expect(traitsOf("get")).toEqual({});
  });

  it("mark as passing the gate what touches no keys and blocks nobody", () => {
    const wrong = having("passesGate").filter((name) => {
      const command = found(name);
      return command.hasKeys || command.flags.has("write") || command.flags.has("blocking");
    });
    expect(wrong).toEqual([]);
  });

  it("mark everything that the engine lets strangers do", () => {
    const open = commands.all().flatMap(([name, { flags }]) => (flags.has("no_auth") ? [name] : []));
    expect(open.length).toBeGreaterThan(2);
    expect(open.filter((name) => !traitsOf(name).passesGate)).toEqual([]);
  });

  it("mark all that subscribes as confirmed name by name", () => {
    const subscribing = commands
      .all()
      .flatMap(([name, { flags }]) => (flags.has("pubsub") && flags.has("noscript") ? [name] : []));
    expect(having("confirms").sort()).toEqual(subscribing.sort());
  });

  it("mark as unqueued what the engine keeps out of scripts", () => {
    expect(having("unqueued").filter((name) => !found(name).flags.has("noscript"))).toEqual([]);
  });

  it("mark as reaching further only what has keys", () => {
    expect(having("reachesFurther").filter((name) => !found(name).movable)).toEqual([]);
    const scripted = commands.all().flatMap(([name, { flags }]) => (flags.has("no_mandatory_keys") ? [name] : []));
    expect(scripted.length).toBeGreaterThan(5);
    expect(scripted.filter((name) => traitsOf(name).reachesFurther !== true)).toEqual([]);
  });

  it("mark as telling types only what writes", () => {
    expect(having("tellsTypes").filter((name) => !found(name).flags.has("write"))).toEqual([]);
  });
});

describe("what the engine's table tells", () => {
  it("has the flag of those that block", () => {
    const blocking = commands.all().flatMap(([name, { flags }]) => (flags.has("blocking") ? [name] : []));
    expect(blocking).toEqual(expect.arrayContaining(["blpop", "brpop", "bzpopmin", "wait", "xread", "xreadgroup"]));
    expect(blocking.filter((name) => !/^(?:b|wait|xread)/.test(name))).toEqual([]);
  });

  it("makes clear which commands can cause events", () => {
    const causing = [
      "get",
      "set",
      "xgroup",
      "object",
      "memory",
      "eval",
      "fcall",
      "zunion",
      "mset",
      "randomkey",
      "xread",
    ];
    expect(causing.filter((name) => !found(name).causesEvents)).toEqual([]);
    const silent = [
      ...["ping", "echo", "auth", "hello", "select", "client", "quit", "reset", "command", "info", "time", "module"],
      ...["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "publish", "spublish", "pubsub", "acl", "config"],
      ...["multi", "exec", "discard", "watch", "unwatch", "slowlog", "latency", "wait", "waitaof", "monitor", "sync"],
      ...["psync", "replconf", "role", "lastsave", "cluster", "readonly", "readwrite", "asking", "script", "function"],
      ...["scan", "keys", "dbsize", "debug", "flushall", "flushdb", "swapdb", "save", "bgsave", "shutdown", "lolwut"],
    ];
    expect(silent.filter((name) => found(name).causesEvents)).toEqual([]);
  });

  it("takes every write for one that can, but those that empty whole databases", () => {
    const writes = commands.all().filter(([, { flags }]) => flags.has("write"));
    expect(writes.flatMap(([name, { causesEvents }]) => (causesEvents ? [] : [name])).sort()).toEqual([
      ...["flushall", "flushdb", "swapdb"],
    ]);
  });

  it("takes a module's command without keys for one that can", () => {
    const row = (flag: string) => [Buffer.from("ft.create"), -2, [Buffer.from(flag)], 0, 0, 0];
    expect(new EngineCommand("ft.create", row("module")).causesEvents).toBe(true);
    expect(new EngineCommand("ft.create", row("admin")).causesEvents).toBe(false);
  });

  it("tells where keys are", () => {
    expect(found("mset").keyPositions(5)).toEqual([1, 3]);
    expect(found("blpop").keyPositions(4)).toEqual([1, 2]);
    expect(found("get").keyPositions(1)).toEqual([]);
    expect(found("ping").keyPositions(2)).toEqual([]);
  });

  it("tells which numbers of words are right", () => {
    expect([1, 2, 3].map((count) => found("get").arityFits(count))).toEqual([false, true, false]);
    expect([1, 2, 3].map((count) => found("del").arityFits(count))).toEqual([false, true, true]);
  });

  it("tells what scripts may not call", () => {
    const kept = ["multi", "subscribe", "blpop", "wait", "monitor"];
    expect(kept.filter((name) => !found(name).isKeptFromScripts)).toEqual([]);
    expect(["get", "set", "xread", "publish"].filter((name) => found(name).isKeptFromScripts)).toEqual([]);
  });
});

describe("a form of a command", () => {
  const forms: readonly (readonly [
    trait: "changesRights" | "silent" | "reachesFurther",
    text: string,
    has: boolean,
  ])[] = [
    ["changesRights", "ACL SetUser x on", true],
    ["changesRights", "ACL LOAD", true],
    ["changesRights", "ACL LIST", false],
    ["changesRights", "ACL", false],
    ["changesRights", "CONFIG SET requirepass x", true],
    ["changesRights", "CONFIG GET x", false],
    ["changesRights", "SET setuser x", false],
    ["silent", "CLIENT REPLY OFF", true],
    ["silent", "client reply skip", true],
    ["silent", "CLIENT REPLY ON", false],
    ["silent", "CLIENT REPLY", false],
    ["silent", "CLIENT ID", false],
    ["silent", "REPLCONF ACK 5", true],
    ["silent", "REPLCONF GETACK *", true],
    ["silent", "REPLCONF capa x", false],
    ["reachesFurther", "EVAL x 0", true],
    ["reachesFurther", "SORT by", false],
    ["reachesFurther", "SORT k LIMIT 0 1 by w_*", true],
    ["reachesFurther", "SORT_RO k GET #", true],
    ["reachesFurther", "SORT k ALPHA", false],
    ["reachesFurther", "GET by", false],
  ];

  it.each(forms)("%s of %s: %s", (trait, text, has) => {
    const args = words(text);
    expect(hasForm(traitsOf(wordOf(args[0]))[trait], args)).toBe(has);
  });

  it("is told by the beginning of a long word, which is no name", () => {
    expect(wordOf(Buffer.from("GeT"))).toBe("get");
    expect(wordOf(undefined)).toBe("");
    expect(wordOf(new Uint8Array(1000).fill(65)).length).toBe(129);
    expect(wordOf(Buffer.from("xxGET").subarray(2))).toBe("get");
  });
});
