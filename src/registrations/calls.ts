/** Python's calls that declare registrations and start flows of their own. */
import type { UserRights } from "../engine/rights.ts";
import { ReplyError } from "../errors.ts";
import type { ExecutionRunner } from "../executions/runner.ts";
import { Session, type SessionRegistry } from "../executions/session.ts";
import type { CallContext, CallHandler, CallReply, PythonTask, StepInfo } from "../python/host.ts";
import { encodeMarshal, type MarshalReader, type MarshalValue } from "../python/marshal.ts";
import { ReplyStatus } from "../python/protocol.ts";
import type { RegistrationSpec } from "./registration.ts";
import type { RegistrationRegistry, ScriptDeclarations } from "./registry.ts";

export interface RegistrationCallsOptions {
  readonly registrations: RegistrationRegistry;
  readonly runner: ExecutionRunner;
  readonly sessions: Pick<SessionRegistry, "named" | "isGone">;
  /** What the users may do whose code runs. */
  readonly rights: Pick<UserRights, "isFree">;
}

/** A script's body while it runs. */
interface DeclaringTask extends PythonTask {
  readonly declarations: ScriptDeclarations;
}

export function registrationCalls(options: RegistrationCallsOptions): Map<string, CallHandler> {
  return new Map<string, CallHandler>([
    ["register", (caller, args) => register(caller, args, options)],
    ["run", (caller, args) => run(caller, args, options)],
  ]);
}

/** `register()`: declared while a script's body runs, in effect at once elsewhere. Answers the id. */
function register(
  caller: CallContext,
  args: MarshalReader,
  options: RegistrationCallsOptions,
): CallReply | Promise<CallReply> {
  options.runner.ids.skip(0, args.int());
  const fields = args.value() as Map<string, MarshalValue>;
  const task = caller.task(args.int());
  const spec = readSpec(fields);
  const declare = (free: boolean): CallReply | Promise<CallReply> => {
    if (!free && interferes(spec)) throw new ReplyError(NOT_FREE);
    return declareFor(caller, task, spec, String(fields.get("session")), options);
  };
  const free = options.rights.isFree(caller.user ?? "");
  return free instanceof Promise ? free.then(declare) : declare(free);
}

/** Does it take part in the commands of other clients, whatever those commands are about? */
const interferes = ({ hook, commands, mode }: RegistrationSpec): boolean =>
  hook !== undefined || commands !== undefined || mode === "sync";

const NOT_FREE = "NOPERM only a user with all rights may hook commands, name commands, or register in mode sync";

function declareFor(
  caller: CallContext,
  task: PythonTask | undefined,
  spec: RegistrationSpec,
  key: string,
  options: RegistrationCallsOptions,
): CallReply | Promise<CallReply> {
  if (task && isDeclaring(task)) return ok(task.declarations.add(spec).id);
  const session = sessionOf(caller, task, key, options);
  if (options.sessions.isGone(session)) throw new ReplyError("the session of this registration is gone");
  return options.registrations.add(session, spec).then(({ id }) => ok(id));
}

/**
 * The session of running code. A background coroutine may be of a script that registered nothing: then its session is
 * known to its interpreter only.
 */
function sessionOf(
  caller: CallContext,
  task: PythonTask | undefined,
  key: string,
  options: RegistrationCallsOptions,
): Session {
  const user = caller.user ?? "";
  const known = (task?.session as Session | undefined) ?? options.sessions.named(key, user);
  const session = known ?? Session.ofKey(key, user);
  session.home ??= caller.home;
  return session;
}

/** `run()` inside a step, coroutine or callback. Answers the flow's handle and the execution's id. */
function run(caller: CallContext, args: MarshalReader, options: RegistrationCallsOptions): CallReply {
  args.text(); // the mode: both are the same on a single node
  const steps = (args.value() as [string, string, string][]).map(
    ([type, name, arg]): StepInfo => ({ type, name, arg }),
  );
  args.text(); // the reader
  const task = caller.task(args.int());
  const session = sessionOf(caller, task, args.text(), options);
  const flow = options.runner.startInner(session, steps);
  return ok([flow.handle, flow.execution.id]);
}

const isDeclaring = (task: PythonTask): task is DeclaringTask => "declarations" in task;

const ok = (value: MarshalValue): CallReply => ({ status: ReplyStatus.ok, value: encodeMarshal(value) });

/** A specification from Python, which has checked the types of its fields. @throws ReplyError when a number is out of range */
export function readSpec(fields: ReadonlyMap<string, MarshalValue>): RegistrationSpec {
  const text = (name: string): string | undefined => {
    const value = fields.get(name);
    return value === null || value === undefined ? undefined : String(value);
  };
  const bytes = (name: string): Buffer | undefined => {
    const value = text(name);
    return value === undefined ? undefined : Buffer.from(value);
  };
  const words = (name: string): string[] | undefined => (fields.get(name) as string[] | null | undefined) ?? undefined;
  const commands = words("commands");
  const number = (name: string, otherwise: number): number => {
    const value = fields.get(name) ?? otherwise;
    if (!Number.isSafeInteger(value)) throw new ReplyError(`ERR ${name} is out of range`);
    return value as number;
  };
  return {
    reader: text("reader") as RegistrationSpec["reader"],
    mode: text("mode") as RegistrationSpec["mode"],
    description: text("desc"),
    // it is kept: a view would keep the whole message
    blob: Buffer.from(fields.get("blob") as Buffer),
    hasOnRegistered: fields.get("has_on_registered") === true,
    prefix: bytes("prefix") ?? Buffer.from("*"),
    eventTypes: words("eventTypes"),
    keyTypes: words("keyTypes"),
    // an empty list means none given
    commands: commands && commands.length > 0 ? commands : undefined,
    readValue: fields.get("readValue") !== false,
    batch: number("batch", 1),
    duration: number("duration", 0),
    onFailedPolicy: (text("onFailedPolicy") ?? "continue") as RegistrationSpec["onFailedPolicy"],
    retryInterval: number("onFailedRetryInterval", 1),
    trimStream: fields.get("trimStream") !== false,
    trigger: bytes("trigger"),
    hook: text("hook"),
    keyPrefix: bytes("keyprefix"),
    inOrder: fields.get("inorder") === true,
  };
}
