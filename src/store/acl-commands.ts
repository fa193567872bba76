/**
 * ACL commands that the engine can not carry out alone, for it has no files: changes of users are on disk before they are
 * answered, and ACL SAVE and ACL LOAD are carried out here. The server's own user is not to be seen or changed.
 */
import { after, type Handling, type Middleware, type RequestView } from "../commands/path.ts";
import { INTERNAL_USER } from "../engine/internal-connections.ts";
import { ReplyError } from "../errors.ts";
import { isError, joinAggregate, scalarText, splitAggregate } from "../resp/frames.ts";
import { error, type Reply, raw, status } from "../resp/reply.ts";
import type { KeptUsers } from "./kept-users.ts";

const OK = status("OK");
const NOT_YOURS = error(`ERR the user '${INTERNAL_USER}' is the server's own`);

export class AclCommands implements Middleware {
  readonly of = ["client", "python"] as const;
  readonly active = false;
  readonly always = ["acl", "config"];
  readonly #users: KeptUsers;

  constructor(users: KeptUsers) {
    this.#users = users;
  }

  handle(name: string, request: RequestView): Handling | undefined {
    const [verb = "", ...words] = request.copy(1).map((arg) => arg.toString("latin1"));
    if (name === "config") {
      const isPassword = words.some((word, at) => at % 2 === 0 && word.toLowerCase() === "requirepass");
      return verb.toLowerCase() === "set" && isPassword ? this.#keepAfter() : undefined;
    }
    switch (verb.toLowerCase()) {
      case "setuser":
        return words[0] === INTERNAL_USER ? { way: "alone", run: () => NOT_YOURS } : this.#keepAfter();
      case "deluser":
        return words.includes(INTERNAL_USER) ? { way: "alone", run: () => NOT_YOURS } : this.#keepAfter();
      case "list":
      case "users":
        return after(withoutOwn);
      case "save":
        return this.#onFile(request.count, () => this.#users.save());
      case "load":
        return this.#onFile(request.count, () => this.#users.reload());
      default:
        return undefined;
    }
  }

  #keepAfter(): Handling | undefined {
    if (!this.#users.keeps) return undefined;
    return after((reply) => (isError(reply) ? undefined : answered(() => this.#users.keep(), undefined)));
  }

  #onFile(count: number, act: () => Promise<void>): Handling | undefined {
    if (!this.#users.hasFile || count !== 2) return undefined;
    return { way: "alone", run: () => answered(act, OK) };
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
