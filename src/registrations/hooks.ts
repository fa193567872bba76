/** CommandReader registrations with a hook: they run in place of a command. docs/spec/events.md, section 8. */
import type { Caller } from "../commands/caller.ts";
import type { Handling, Middleware, RequestView } from "../commands/path.ts";
import type { EngineCommands } from "../engine/engine-commands.ts";
import { ReplyError } from "../errors.ts";
import type { Execution } from "../executions/execution.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { Job, JobCause } from "../python/job.ts";
import type { CallContext, CallReply, Handlers } from "../python/python-host.ts";
import type { CallArgs } from "../python/messages.ts";
import { commandWords } from "../python/transcode.ts";
import { error, type Reply, raw } from "../resp/reply.ts";
import { checkHookable } from "./hookable.ts";
import type { Declared } from "./declared.ts";
import type { EventStarter } from "./event-starter.ts";
import type { Registration, RegistrationSpec } from "./registration.ts";
import type { ReaderSide } from "./registration-registry.ts";
import { NOT_SYNC } from "./triggers.ts";

interface HooksOptions {
  readonly starter: EventStarter;
  readonly engineCommands: EngineCommands;
  /** True for a command of ours. */
  readonly isOwn: (name: string) => boolean;
  /** Runs the real command for `call_next`: one of ours, or the engine's. */
  readonly runReal: (caller: CallContext, job: Job, args: readonly Buffer[]) => Maybe<CallReply>;
  /** A reply as the value that `execute()` would return. @throws ReplyError for an error reply */
  readonly toPython: (reply: Reply) => CallReply;
}

/** A hooked command, and what the execution of a hook may go on to with `call_next`. */
class HookedCommand implements JobCause {
  readonly kind = "hook";
  readonly name: string;
  readonly typedName: Buffer;
  /** The hooks that are further inside, innermost first. */
  readonly inner: readonly Registration[];
  readonly caller: Caller;

  constructor(name: string, typedName: Buffer, inner: readonly Registration[], caller: Caller) {
    this.name = name;
    this.typedName = typedName;
    this.inner = inner;
    this.caller = caller;
  }
}

const HOOK_GONE = "ERR the hook is gone";

export class Hooks implements ReaderSide, Middleware {
  readonly of = ["client", "lua", "python"] as const;
  readonly #options: HooksOptions;
  /** By the command's lower-case name, oldest first. */
  readonly #byCommand = new Map<string, Registration[]>();
  /** Calls from Python. */
  readonly handlers: Pick<Handlers, "call_next"> = {
    call_next: (caller, args) => this.#callNext(caller, args),
  };

  constructor(options: HooksOptions) {
    this.#options = options;
  }

  /** False while there is no hook at all. */
  get active(): boolean {
    return this.#byCommand.size > 0;
  }

  /** The names of the hooked commands. */
  get ofLua(): string[] {
    return [...this.#byCommand.keys()];
  }

  handle(name: string, request: RequestView, { links }: Pick<Caller, "links">): Handling | undefined {
    const hooks = links ? this.#byCommand.get(name) : undefined;
    if (!hooks || !this.#newest(hooks, name, request.count, (at) => request.view(at))) return undefined;
    const args = request.copy(0);
    return { way: "instead", run: (caller) => this.#run(name, args, caller) ?? error(HOOK_GONE) };
  }

  check(spec: RegistrationSpec, declared: Declared): void {
    const name = commandName(spec);
    this.#checkCommand(name, spec.keyPrefix !== undefined);
    if (this.#byCommand.get(name)?.some(({ spec: other }) => other.mode !== "sync")) {
      throw new ReplyError("Can not override a none sync registration");
    }
    if (declared.hasAsyncHook(name)) {
      throw new ReplyError("Can not override a none sync registration which already created on this session");
    }
  }

  activate(registration: Registration): void {
    const name = commandName(registration.spec);
    const all = [...(this.#byCommand.get(name) ?? []), registration];
    // one that could not be unregistered comes back to where it was
    this.#byCommand.set(
      name,
      all.sort((a, b) => a.number - b.number),
    );
  }

  deactivate(registration: Registration): void {
    const name = commandName(registration.spec);
    const left = this.#byCommand.get(name)?.filter((other) => other !== registration) ?? [];
    if (left.length > 0) this.#byCommand.set(name, left);
    else this.#byCommand.delete(name);
  }

  /** Runs the outermost hook that applies. @returns undefined when there is none */
  #run(name: string, args: readonly Buffer[], caller: Caller): Maybe<Reply> | undefined {
    const hooks = this.#byCommand.get(name);
    return hooks && this.#runFrom(hooks, name, args, caller);
  }

  #checkCommand(name: string, withPrefix: boolean): void {
    if (this.#options.isOwn(name)) {
      if (withPrefix) throw new ReplyError("Can not override a command by key prefix with none positive first key");
      return;
    }
    const command = this.#options.engineCommands.find(name);
    if (!command) throw new ReplyError("Can not override an unexisting command");
    checkHookable(command, "override", withPrefix);
  }

  #newest(
    hooks: readonly Registration[],
    name: string,
    count: number,
    word: (index: number) => Buffer,
  ): Registration | undefined {
    return hooks.findLast(({ spec: { keyPrefix } }) => {
      if (!keyPrefix) return true;
      const positions = this.#options.engineCommands.find(name)?.keyPositions(count) ?? [];
      return positions.some((at) => word(at).subarray(0, keyPrefix.length).equals(keyPrefix));
    });
  }

  #runFrom(
    hooks: readonly Registration[],
    name: string,
    args: readonly Buffer[],
    caller: Caller,
  ): Maybe<Reply> | undefined {
    const hook = this.#newest(hooks, name, args.length, (index) => args[index] as Buffer);
    if (!hook) return undefined;
    if (!caller.canWait && hook.spec.mode !== "sync") return error(NOT_SYNC);
    const inner = hooks.slice(0, hooks.indexOf(hook));
    const execution = this.#options.starter.run(hook, [commandWords(args)], {
      prefixRule: true,
      noAsync: !caller.canWait,
      cause: new HookedCommand(name, args[0] as Buffer, inner, caller),
      ...(caller.canWait ? {} : { owner: caller.owner }),
    });
    return andThen(execution, replyOf);
  }

  #callNext(caller: CallContext, { args: rest, job: handle }: CallArgs<"call_next">): Maybe<CallReply> {
    const job = caller.job(handle);
    const hooked = job?.cause;
    if (!job || !(hooked instanceof HookedCommand)) {
      throw new ReplyError(hooked?.kind === "trigger" ? "Failed executing command" : "Can not get CommandHook ctx");
    }
    const args = [hooked.typedName, ...rest];
    const next = this.#runFrom(hooked.inner, hooked.name, args, { ...hooked.caller, canWait: false, owner: job.owner });
    return next ? andThen(next, this.#options.toPython) : this.#options.runReal(caller, job, args);
  }
}

/** A hook answers with its only result. */
function replyOf(execution: Execution): Reply {
  const [first] = execution.errors;
  if (first !== undefined) return error(first);
  if (execution.resultCount !== 1) return error("Command hook must return exactly one result");
  return raw(...execution.resultChunks);
}

const commandName = ({ hook }: RegistrationSpec): string => (hook ?? "").toLowerCase();
