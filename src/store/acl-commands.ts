/**
 * ACL commands that the engine can not carry out alone, for it has no files: changes of users are on disk before they are
 * answered, and ACL SAVE and ACL LOAD are carried out here. The server's own user is not to be seen or changed.
 */
import { INTERNAL_USER } from "../engine/internal.ts";
import { ReplyError } from "../errors.ts";
import type { Interception, Interceptor, RequestView } from "../gateway/interceptor.ts";
import { isError, joinAggregate, scalarText, splitAggregate } from "../resp/frames.ts";
import { encodeWhole, error, type Reply, raw, status } from "../resp/reply.ts";
import type { KeptUsers } from "./kept-users.ts";

type Maybe<T> = T | Promise<T>;

/** What becomes of a command. */
type Treatment =
  | { readonly kind: "replace"; run(): Maybe<Reply> }
  /** @returns what is seen instead of the engine's reply; undefined: that one */
  | { readonly kind: "hold"; settle(reply: Buffer): Maybe<Reply | undefined> };

const OK = status("OK");
const LONGEST_NAME = "config".length;
const NOT_YOURS = error(`ERR the user '${INTERNAL_USER}' is the server's own`);

export class AclCommands implements Interceptor {
  readonly active = false;
  readonly always = ["acl", "config"];
  readonly #users: KeptUsers;
  readonly #inner: Interceptor;

  /** @param inner what else is to be asked about the same commands */
  constructor(users: KeptUsers, inner: Interceptor) {
    this.#users = users;
    this.#inner = inner;
  }

  intercept(name: string, request: RequestView, clientId: number): Interception | undefined {
    const treatment = name === "acl" || name === "config" ? this.#treat(request.copy(0)) : undefined;
    if (!treatment || treatment.kind === "replace") return treatment;
    const inner = this.#inner.intercept(name, request, clientId);
    return {
      kind: "hold",
      settle: async (reply, context) => {
        const seen = inner?.kind === "hold" ? await inner.settle(reply, context) : undefined;
        return (await treatment.settle(reply)) ?? seen;
      },
    };
  }

  /** May {@link around} have something to do? Nearly always not, and that is found out without looking at the name. */
  mayConcern(args: readonly Buffer[]): boolean {
    const length = args[0]?.length;
    return length === 3 || length === 6;
  }

  /**
   * The same for callers that are no clients.
   * @param send has the engine carry the command out
   * @returns the reply as RESP2
   */
  around(args: readonly Buffer[], send: () => Maybe<Buffer>): Maybe<Buffer> {
    const treatment = this.#treat(args);
    return treatment ? this.#carryOut(treatment, send) : send();
  }

  async #carryOut(treatment: Treatment, send: () => Maybe<Buffer>): Promise<Buffer> {
    if (treatment.kind === "replace") return encodeWhole(await treatment.run(), 2);
    const reply = await send();
    const seen = await treatment.settle(reply);
    return seen ? encodeWhole(seen, 2) : reply;
  }

  #treat(args: readonly Buffer[]): Treatment | undefined {
    const [first] = args;
    const command = first && first.length <= LONGEST_NAME ? first.toString("latin1").toLowerCase() : "";
    if (command !== "acl" && command !== "config") return undefined;
    const [verb = "", ...words] = args.slice(1).map((arg) => arg.toString("latin1"));
    if (command === "config") {
      const isPassword = words.some((word, at) => at % 2 === 0 && word.toLowerCase() === "requirepass");
      return verb.toLowerCase() === "set" && isPassword ? this.#keepAfter() : undefined;
    }
    switch (verb.toLowerCase()) {
      case "setuser":
        return words[0] === INTERNAL_USER ? { kind: "replace", run: () => NOT_YOURS } : this.#keepAfter();
      case "deluser":
        return words.includes(INTERNAL_USER) ? { kind: "replace", run: () => NOT_YOURS } : this.#keepAfter();
      case "list":
      case "users":
        return { kind: "hold", settle: withoutOwn };
      case "save":
        return this.#onFile(args.length, () => this.#users.save());
      case "load":
        return this.#onFile(args.length, () => this.#users.reload());
      default:
        return undefined;
    }
  }

  #keepAfter(): Treatment | undefined {
    if (!this.#users.keeps) return undefined;
    return {
      kind: "hold",
      settle: (reply) => (isError(reply) ? undefined : answered(() => this.#users.keep(), undefined)),
    };
  }

  #onFile(count: number, act: () => Promise<void>): Treatment | undefined {
    if (!this.#users.hasFile || count !== 2) return undefined;
    return { kind: "replace", run: () => answered(act, OK) };
  }
}

async function answered<T>(act: () => Promise<void>, good: T): Promise<T | Reply> {
  try {
    await act();
    return good;
  } catch (reason) {
    if (!(reason instanceof Error)) throw reason;
    return error(reason instanceof ReplyError ? reason.message : `ERR ${reason.message}`);
  }
}

function withoutOwn(reply: Buffer): Reply | undefined {
  const aggregate = splitAggregate(reply);
  if (!aggregate) return undefined;
  const children = aggregate.children.filter((child) => {
    const text = scalarText(child);
    return text !== INTERNAL_USER && !text.startsWith(`user ${INTERNAL_USER} `);
  });
  return raw(joinAggregate({ ...aggregate, children }));
}
