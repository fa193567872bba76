/** FUNCTION and FCALL, for which the libraries of the server's own are not there: see `own-libraries.ts`. */
import { after, type Handling, type Middleware, type RequestView } from "../commands/path.ts";
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import { wordOf } from "../engine/traits.ts";
import { fieldsOf, joinAggregate, rewriteText, scalarBytes, splitAggregate } from "../resp/frames.ts";
import { ReplyError } from "../errors.ts";
import { error, type Reply, raw, status } from "../resp/reply.ts";
import type { EngineStore } from "./engine-store.ts";
import { isOwnCode, isOwnName, namesOf, OWN_PREFIX } from "./own-libraries.ts";
import { dumpedLibraries, withoutLibraries } from "./rdb/function-payload.ts";

interface FunctionCommandsOptions {
  readonly store: Pick<EngineStore, "withOwn" | "transact" | "size">;
  readonly connections: Pick<InternalConnections, "open">;
}

const OK = status("OK");
const NO_LIBRARY = error("ERR Library not found");
const NO_FUNCTION = error("ERR Function not found");
const RESERVED = error(`ERR names of libraries that begin with '${OWN_PREFIX}' are the server's own`);
const FIGURES = /^(number_of_(?:libraries|functions):)(\d+)/gm;
const COUNTS = /((?:libraries|functions)_count\r\n:)(\d+)(?=\r\n)/g;

export class FunctionCommands implements Middleware {
  readonly of = ["client", "python"] as const;
  readonly active = false;
  readonly always = ["function", "fcall", "fcall_ro", "info"];
  readonly #options: FunctionCommandsOptions;

  constructor(options: FunctionCommandsOptions) {
    this.#options = options;
  }

  handle(name: string, request: RequestView): Handling | undefined {
    if (name === "info")
      return this.#options.store.size > 0 ? after((reply) => this.#withoutFigures(reply)) : undefined;
    if (request.count < 2) return undefined;
    if (name !== "function") return isOwnName(request.view(1)) ? instead(NO_FUNCTION) : undefined;
    const { count } = request;
    switch (wordOf(request.view(1))) {
      case "list":
        return after(withoutOwn);
      case "dump":
        return after((reply) => raw(rewriteText(reply, (payload) => withoutLibraries(payload, isOwnCode))));
      case "stats":
        return after((reply) => this.#withoutCounts(reply));
      case "delete":
        return count === 3 && isOwnName(request.view(2)) ? instead(NO_LIBRARY) : undefined;
      case "load":
        return isOwnCode(request.view(count - 1)) ? instead(RESERVED) : undefined;
      case "flush":
        return this.#flush(request);
      case "restore":
        return this.#restore(request);
      default:
        return undefined;
    }
  }

  #flush(request: RequestView): Handling | undefined {
    const { count } = request;
    if (count > 3 || (count === 3 && !["async", "sync"].includes(wordOf(request.view(2))))) return undefined;
    return { way: "instead", run: () => this.#flushed() };
  }

  async #flushed(): Promise<Reply> {
    const { connections, store } = this.#options;
    const names = namesOf(await withConnection(connections, (client) => client.call("FUNCTION", "LIST")));
    const others = names.filter((name) => !isOwnName(Buffer.from(name)));
    if (others.length > 0) await store.transact(others.map((name) => ["FUNCTION", "DELETE", name]));
    return OK;
  }

  #restore(request: RequestView): Handling | undefined {
    const args = request.copy(2);
    const [payload, policy] = args;
    if (!payload || args.length > 2) return undefined;
    if (hasOwn(payload)) return instead(RESERVED);
    if (wordOf(policy) !== "flush") return undefined;
    const run = async (): Promise<Reply> => {
      try {
        await this.#options.store.withOwn(["FUNCTION", "RESTORE", ...args]);
        return OK;
      } catch (reason) {
        if (!(reason instanceof ReplyError)) throw reason;
        return error(reason.message);
      }
    };
    return { way: "instead", run };
  }

  #withoutCounts(reply: Buffer): Reply {
    const text = reply.toString("latin1");
    // what is before it has words of a running script
    const at = Math.max(0, text.lastIndexOf("engines\r\n"));
    return raw(Buffer.from(text.slice(0, at) + this.#less(text.slice(at), COUNTS), "latin1"));
  }

  #withoutFigures(reply: Buffer): Reply {
    return raw(rewriteText(reply, (info) => Buffer.from(this.#less(info.toString("latin1"), FIGURES), "latin1")));
  }

  /** The text with smaller numbers. */
  #less(text: string, pattern: RegExp): string {
    const { size } = this.#options.store;
    return text.replace(pattern, (_, name: string, all: string) => `${name}${Number(all) - size}`);
  }
}

const instead = (reply: Reply): Handling => ({ way: "instead", run: () => reply });

/** What is no payload the engine refuses. */
function hasOwn(payload: Buffer): boolean {
  try {
    return dumpedLibraries(payload).some(({ code }) => isOwnCode(code));
  } catch {
    return false;
  }
}

function withoutOwn(reply: Buffer): Reply | undefined {
  const list = splitAggregate(reply);
  if (!list) return undefined;
  const children = list.children.filter((library) => {
    const name = scalarBytes(fieldsOf(library)("library_name"));
    return !name || !isOwnName(name);
  });
  return raw(joinAggregate({ ...list, children }));
}
