/** The way of a command: which middlewares see it, in which order, and for whom. */
import { describe, expect, it } from "vitest";
import type { Caller } from "../../src/commands/caller.ts";
import { after, type Handling, type Middleware, Path } from "../../src/commands/path.ts";
import { createCommandTable } from "../../src/commands/table.ts";
import { encodeCommand } from "../../src/engine/encode.ts";
import { raw, status } from "../../src/resp/reply.ts";
import { row } from "../support/gateway.ts";
import { callerOf, pathOf, runThrough, sendThrough, viewOf } from "../support/path.ts";

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
    pathOf(noting).decide(words("SeT k v"), PYTHON);
    pathOf(noting).decide(words("SET k v"), LUA);
    expect(seen).toEqual([
      ["set", 3, "client"],
      ["set", 3, "python"],
      ["set", 3, "lua"],
    ]);
  });
});

describe("a script's command", () => {
  const table = createCommandTable([row("rg.echo", (_args, { caller }) => status(caller.kind))], { error: () => {} });

  /** What the script gets, and whether somebody has to ask first whether its user may. */
  const run = async (path: Path, text: string, caller: Caller): Promise<string> => {
    const reply = await runThrough(path, words(text), caller, (request) => Buffer.concat([SENT, request]));
    return `${path.decide(words(text), caller)?.instead ? "instead: " : ""}${String(reply).trim()}`;
  };
  const SENT = Buffer.from("+sent");
  const sent = (text: string): string => `+sent${String(encodeCommand(words(text))).trim()}`;

  it.each([PYTHON, LUA])("is run in its place by a hook, or is one of ours ($kind)", async (caller) => {
    const path = new Path(table);
    expect(await run(path, "RG.ECHO", caller)).toBe(`instead: +${caller.kind}`);
    expect(await run(path, "GET k", caller)).toBe(sent("GET k"));
    path.use(all(instead("hook")));
    for (const text of ["RG.ECHO", "GET k"]) expect(await run(path, text, caller)).toBe("instead: +hook");
  });

  it("is not seen by middlewares for clients", () => {
    const path = pathOf(all(instead("client"), { of: ["client"] }), all(alone, { of: ["client"] }));
    expect(path.decide(words("GET k"), PYTHON)).toBeUndefined();
  });

  it("is watched on its way to the engine", async () => {
    for (const [handling, reply] of [
      [alone, "+aloneOK\r\n"],
      [marks("!"), "+OK!\r\n"],
    ] as const)
      expect(String(await runThrough(pathOf(all(handling)), words("GET k"), PYTHON, () => OK))).toBe(reply);
  });

  it("can be kept by what handles it, though its bytes are somebody else's", async () => {
    const kept: Buffer[] = [];
    const args = words("GET k");
    pathOf(all(undefined, { handle: (_name, request) => void kept.push(...request.copy(0)) })).decide(args, PYTHON);
    for (const arg of args) arg.fill(0);
    expect(kept.map(String)).toEqual(["GET", "k"]);
  });

  it("is translated before the engine gets it, and its reply before those that watch it see it", async () => {
    const path = pathOf(all(marks("!")));
    path.useTranslators({
      of: ["python"],
      names: ["get", "gone"],
      translate: (name) =>
        name === "gone"
          ? { refused: "ERR gone", probe: () => OK }
          : {
              request: encodeCommand(["OTHER"]),
              settle: (frame) => Buffer.from(`${String(frame).replace(/\r\n/g, " ")}\r\n`),
            },
    });
    expect(await run(path, "GET k", PYTHON)).toBe("+sent*1 $5 OTHER!");
    expect(await run(path, "GONE", PYTHON)).toBe("instead: -ERR gone");
    expect(await run(path, "SET k", PYTHON)).toBe(`${sent("SET k")}!`);
    expect(await run(path, "GET k", LUA)).toBe(`${sent("GET k")}!`);
    expect(path.translated).toEqual(["get", "gone"]);
    const second = { of: ["client"] as const, names: ["get"], translate: () => undefined };
    expect(() => path.useTranslators(second)).toThrow("two translators of get");
  });

  it("is refused if its user may not run it", async () => {
    const path = new Path(table, { refusal: ({ kind, user }, args) => `NOPERM ${kind} ${user} ${args.join(" ")}` });
    expect(await path.refusal({ kind: "python", user: "bob" }, words("GET k"))).toBe("NOPERM python bob GET k");
    expect(await new Path(table).refusal(PYTHON, words("GET k"))).toBeUndefined();
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
