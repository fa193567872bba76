/**
 * Our commands inside Lua scripts. The engine does not know `RG.*`, so a script that may call them is run as a coroutine
 * by a small library in the engine (scripts.lua): it comes back with the command, we run it, and resume the script with
 * the reply. Meanwhile the engine is held, so the script stays as atomic as any. All other scripts go to the engine as
 * they are.
 *
 * Limits: EVAL and EVALSHA only (no functions, no `EVAL_RO`); a script is taken to call our commands when its text or an
 * argument contains `rg.` in any case.
 */
import { createHash } from "node:crypto";
import type { Caller } from "../commands/caller.ts";
import type { Handling, Middleware, Next, Path, RequestView } from "../commands/path.ts";
import { type EngineClient, encodeCommand } from "../engine/engine-client.ts";
import { wordOf } from "../engine/traits.ts";
import { ReplyError } from "../errors.ts";
import type { Maybe } from "../maybe.ts";
import { isError, scalarBytes, scalarText, splitAggregate } from "../resp/frames.ts";
import { encodeWhole, error, type Reply, raw } from "../resp/reply.ts";
import { isOurFunction, LuaLibrary } from "./lua-library.ts";
import { replyToMsgpack } from "./msgpack.ts";

const OURS = /rg\./i;

interface LuaBridgeOptions {
  /** Opens a connection that may load functions. */
  readonly open: () => EngineClient;
  /** Holds the engine, so that nobody else's command passes. */
  readonly gate: { hold(owner: object, name: () => string): Promise<void>; release(owner: object): void };
  /** Milliseconds after which a script is stopped (`script-time-limit`), with the time of the commands that are run here. */
  readonly limitMs: number;
  /** The way of those commands that a script does not send itself. */
  readonly path: Path;
}

/** Scripts remembered for EVALSHA; more are forgotten, oldest first. */
const MAX_SCRIPTS = 1_000;

export class LuaBridge implements Middleware {
  readonly of = ["client"] as const;
  readonly active = false;
  readonly always = ["eval", "evalsha", "script", "fcall"];
  readonly #options: LuaBridgeOptions;
  readonly #library: LuaLibrary;
  readonly #scripts = new Map<string, Buffer>();
  #lastId = 0;

  constructor(options: LuaBridgeOptions) {
    this.#options = options;
    this.#library = new LuaLibrary(options.open);
  }

  /**
   * The script of an EVAL or EVALSHA, when it may call our commands; undefined when the engine should run it.
   * @param args the command's arguments without its name
   */
  scriptFor(name: string, args: readonly Buffer[]): Buffer | undefined {
    const [first, ...rest] = args;
    if (!first) return undefined;
    const script = name === "eval" ? first : this.#scripts.get(first.toString("latin1").toLowerCase());
    if (!script) return undefined;
    if (name === "eval") this.remember(script);
    const seen =
      this.#options.path.ofLua.length > 0 || [script, ...rest].some((part) => OURS.test(part.toString("latin1")));
    return seen ? script : undefined;
  }

  /** Notes a script that EVALSHA may name later. */
  remember(script: Buffer): void {
    const sha = sha1(script);
    this.#scripts.delete(sha);
    this.#scripts.set(sha, Buffer.from(script));
    if (this.#scripts.size > MAX_SCRIPTS) this.#scripts.delete(this.#scripts.keys().next().value ?? "");
  }

  /** A script that may call us is run here. */
  handle(name: string, request: RequestView): Handling | undefined {
    if (name === "script" && request.count > 2) this.#noteLoad(request);
    // these functions run any text, which takes the right to EVAL
    if (name === "fcall" && request.count > 1 && isOurFunction(request.view(1))) {
      return { way: "instead", run: () => error("ERR Function not found") };
    }
    if (name !== "eval" && name !== "evalsha") return undefined;
    const args = request.copy(1);
    const script = this.scriptFor(name, args);
    if (!script) return undefined;
    return {
      way: "instead",
      // the engine would not stop in the middle of a script either
      whole: true,
      run: (caller, next) =>
        this.run(script, args.slice(1), { ...caller, kind: "lua", canWait: false }, next).catch((reason: unknown) => {
          if (reason instanceof ReplyError) return error(reason.message);
          throw reason;
        }),
    };
  }

  /**
   * Carries out what the script is not to send itself.
   * @param ask undefined: nothing is sent for it
   * @returns the reply in RESP2; undefined when the script is to send the command
   */
  async #carryOut(args: readonly Buffer[], caller: Caller, ask: Next | undefined): Promise<Buffer | undefined> {
    const { path } = this.#options;
    const decision = path.decide(args, caller);
    if (!decision || (!decision.instead && !ask)) return undefined;
    const refused = decision.instead ? await path.refusal(caller, args) : undefined;
    const send = (request: Buffer): Maybe<Buffer> =>
      ask ? ask(request) : Promise.reject(new Error("nothing is sent"));
    return encodeWhole(refused === undefined ? await decision.run(send) : error(refused), 2);
  }

  #noteLoad(request: RequestView): void {
    if (wordOf(request.view(1)) === "load") this.remember(request.view(2));
  }

  /**
   * Runs a script.
   * @param args numkeys, keys and arguments
   * @param ask sends on the connection of the script's client, with its rights and its database
   * @returns its reply
   */
  async run(script: Buffer, args: readonly Buffer[], caller: Caller, ask: Next): Promise<Reply> {
    const keyCount = Number(args[0]?.toString("latin1"));
    if (!Number.isInteger(keyCount)) throw new ReplyError("ERR value is not an integer or out of range");
    if (keyCount < 0) throw new ReplyError("ERR Number of keys can't be negative");
    if (keyCount > args.length - 1) throw new ReplyError("ERR Number of keys can't be greater than number of args");
    const keys = args.slice(1, keyCount + 1);
    const id = String(++this.#lastId);
    const hooked = JSON.stringify(Object.fromEntries(this.#options.path.ofLua.map((name) => [name, true])));
    const start = ["__regears_start", String(keyCount), ...keys, id, hooked, script, ...args.slice(keyCount + 1)];
    const { limitMs } = this.#options;
    const end = limitMs > 0 ? performance.now() + limitMs : Number.POSITIVE_INFINITY;
    let paused = false;
    await this.#options.gate.hold(caller.owner, () => "a Lua script");
    try {
      await this.#library.ensure();
      let answer = await ask(encodeCommand(["FCALL", ...start]));
      for (;;) {
        const children = splitAggregate(answer)?.children;
        const kind = scalarText(children?.[0]);
        paused = kind === "call";
        if (!paused) await this.#options.path.settle(caller.owner);
        if (!children || isError(answer)) return raw(answer);
        if (kind === "done") return raw(children[1] ?? Buffer.from("$-1\r\n"));
        if (kind === "fail") throw new ReplyError(failure(scalarText(children[1]), script));
        // the engine measures only the time between two commands of the script
        if (performance.now() > end) {
          await this.#options.path.settle(caller.owner);
          throw new ReplyError(failure("ERR Script killed by user with SCRIPT KILL.", script));
        }
        // the script has selected a database or protocol other than the client's connection has, which its command would go over
        const apart = scalarText(children[1]) !== "";
        const command = children.slice(2).map((child) => Buffer.from(scalarBytes(child) ?? ""));
        const frame = await this.#carryOut(command, caller, apart ? undefined : ask);
        const given = frame ? [replyToMsgpack(frame)] : [];
        answer = await ask(encodeCommand(["FCALL", "__regears_resume", "0", id, ...given]));
      }
    } finally {
      // it was stopped, or the client's engine connection was lost in between
      if (paused) void this.#library.forget(id);
      this.#options.gate.release(caller.owner);
    }
  }
}

const sha1 = (script: Buffer): string => createHash("sha1").update(script).digest("hex");

/** An error that left the script, in the engine's words. */
function failure(text: string, script: Buffer): string {
  const line = /^ERR user_script:(\d+):/.exec(text)?.[1] ?? "1";
  return `${text} script: ${sha1(script)}, on @user_script:${line}.`;
}
