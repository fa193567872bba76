/** The way of a command: which middlewares see it, in which order, and for whom. */
import { describe, expect, it } from "vitest";
import type { Caller } from "../../src/commands/caller.ts";
import { after, type Handling, type Middleware, Path } from "../../src/commands/path.ts";
import { createCommandTable } from "../../src/commands/table.ts";
import { encodeWhole, raw, status } from "../../src/resp/reply.ts";
import { row } from "../support/gateway.ts";
import { callerOf, pathOf, sendThrough, viewOf } from "../support/path.ts";

const words = (text: string): Buffer[] => text.split(" ").map((word) => Buffer.from(word));
const OK = Buffer.from("+OK\r\n");
const PYTHON = callerOf({ kind: "python", canWait: false });
const LUA = callerOf({ kind: "lua", canWait: false });

/** A middleware that handles all commands. */
const all = (handling: Handling | undefined, more: Partial<Middleware> = {}): Middleware => ({
  of: ["client", "lua", "python"],
  active: true,
  handle: () => handling,
  ...more,
});

/** Adds a mark to the engine's reply. */
const marks = (mark: string): Handling => after((reply) => raw(Buffer.from(`${reply.toString().trim()}${mark}\r\n`)));
const instead = (text: string): Handling => ({ way: "instead", run: () => status(text) });
const alone: Handling = {
  way: "alone",
  run: async (_caller, next) => raw(Buffer.from(`+alone${(await next()).toString("latin1", 1)}`)),
};

/** What a client gets for a command. */
async function send(
  middlewares: readonly Middleware[],
  text = "SET k v",
  caller: Caller = callerOf(),
): Promise<string> {
  const reply = await sendThrough(pathOf(...middlewares), words(text), caller, async () => OK);
  return reply.toString().trim();
}

describe("a client's command", () => {
  it("goes to the engine when nobody has anything to do with it", async () => {
    expect(await send([])).toBe("+OK");
    expect(await send([all(undefined)])).toBe("+OK");
  });

  it("is handled by the first that does more than to look at the reply", async () => {
    expect(await send([all(undefined), all(instead("first")), all(instead("second"))])).toBe("+first");
    expect(await send([all(alone), all(instead("second"))])).toBe("+aloneOK");
  });

  it("has its reply looked at by all that do, the last one first", async () => {
    expect(await send([all(marks("1")), all(undefined), all(marks("2")), all(marks("3"))])).toBe("+OK321");
  });

  it("is not taken from the engine by those that come after one that looks at the reply", async () => {
    expect(await send([all(marks("1")), all(instead("never")), all(alone), all(marks("2"))])).toBe("+OK21");
  });

  it("is seen by a middleware that is not active only if it is always to be", async () => {
    const sleeping = all(instead("seen"), { active: false, always: ["get"] });
    expect([await send([sleeping]), await send([sleeping], "GET k")]).toEqual(["+OK", "+seen"]);
    const path = pathOf(sleeping);
    expect([path.active, path.always]).toEqual([false, ["get"]]);
    path.use(all(undefined));
    expect(path.active).toBe(true);
  });

  it("is not seen by middlewares for others", async () => {
    const forScripts = all(instead("seen"), { of: ["lua", "python"], always: ["set"] });
    expect(await send([forScripts])).toBe("+OK");
    expect([pathOf(forScripts).active, pathOf(forScripts).always]).toEqual([false, []]);
  });

  it("names itself in lower case, with who asks", () => {
    const seen: unknown[] = [];
    const noting = all(undefined, { handle: (name, { count }, { kind }) => void seen.push([name, count, kind]) });
    pathOf(noting).find("set", viewOf(words("SET k v")), callerOf());
    pathOf(noting).own(words("SeT k v"), PYTHON);
    pathOf(noting).watched(words("SET k v"), LUA);
    expect(seen).toEqual([
      ["set", 3, "client"],
      ["set", 3, "python"],
      ["set", 3, "lua"],
    ]);
  });
});

describe("a script's command", () => {
  const table = createCommandTable([row("rg.echo", (_args, { caller }) => status(caller.kind))], { error: () => {} });

  it.each([PYTHON, LUA])("is run in its place by a hook, or is one of ours ($kind)", async (caller) => {
    const path = new Path(table);
    const own = async (text: string) => encodeWhole((await path.own(words(text), caller)?.()) ?? status("none"), 2);
    expect([String(await own("RG.ECHO")), String(await own("GET k"))]).toEqual([`+${caller.kind}\r\n`, "+none\r\n"]);
    path.use(all(instead("hook")));
    expect([String(await own("RG.ECHO")), String(await own("GET k"))]).toEqual(["+hook\r\n", "+hook\r\n"]);
  });

  it("is not seen by middlewares for clients", () => {
    const path = pathOf(all(instead("client"), { of: ["client"] }), all(alone, { of: ["client"] }));
    expect([path.own(words("GET k"), PYTHON), path.watched(words("GET k"), PYTHON)]).toEqual([undefined, undefined]);
  });

  it("is watched on its way to the engine, and what takes its place is not that", async () => {
    expect(pathOf(all(instead("hook"))).watched(words("GET k"), PYTHON)).toBeUndefined();
    expect(pathOf(all(alone)).own(words("GET k"), PYTHON)).toBeUndefined();
    for (const [handling, reply] of [
      [alone, "+aloneOK\r\n"],
      [marks("!"), "+OK!\r\n"],
    ] as const)
      expect(String(await pathOf(all(handling)).watched(words("GET k"), PYTHON)?.(() => OK))).toBe(reply);
  });

  it("can be kept by what handles it, though its bytes are somebody else's", async () => {
    const kept: Buffer[] = [];
    const args = words("GET k");
    pathOf(all(undefined, { handle: (_name, request) => void kept.push(...request.copy(0)) })).own(args, PYTHON);
    for (const arg of args) arg.fill(0);
    expect(kept.map(String)).toEqual(["GET", "k"]);
  });

  it("of Lua is brought by the script if somebody wants it, and settled afterwards in any case", async () => {
    const settled: string[] = [];
    const settling = (name: string): Partial<Middleware> => ({
      ofLua: [name],
      settle: async () => void settled.push(name),
    });
    const path = pathOf(all(undefined, settling("get")), all(undefined), all(undefined, settling("*")));
    path.use(all(undefined, { ...settling("never"), of: ["client", "python"] }));
    expect(path.ofLua).toEqual(["get", "*"]);
    await path.settle({});
    expect(settled).toEqual(["get", "*"]);
  });
});
