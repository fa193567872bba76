/** Python's calls that declare registrations and start flows of their own. */
import type { UserRights } from "../engine/user-rights.ts";
import { ReplyError } from "../errors.ts";
import { type ExecutionRunner, tooManyPending } from "../executions/execution-runner.ts";
import { Session, type SessionRegistry } from "../executions/session.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { okReply } from "../python/call-reply.ts";
import type { Job } from "../python/job.ts";
import type { CallContext, CallReply, Handlers } from "../python/python-host.ts";
import { BadMessage, type CallArgs } from "../python/messages.ts";
import type { RegistrationSpec } from "./registration.ts";
import type { RegistrationRegistry, ScriptDeclarations } from "./registration-registry.ts";

interface RegistrationCallsOptions {
  readonly registrations: RegistrationRegistry;
  readonly runner: ExecutionRunner;
  readonly sessions: Pick<SessionRegistry, "named" | "isGone" | "isOthers">;
  /** What the users may do whose code runs. */
  readonly rights: Pick<UserRights, "isFree">;
  /** Unfinished executions above which code may start no further ones (`max-pending-executions`). */
  readonly maxPending: number;
}

/** A script's body while it runs. */
interface DeclaringJob extends Job {
  readonly declarations: ScriptDeclarations;
}

export function registrationCalls(options: RegistrationCallsOptions): Pick<Handlers, "register" | "run"> {
  return {
    register: (caller, args) => register(caller, args, options),
    run: (caller, args) => run(caller, args, options),
  };
}

/** `register()`: declared while a script's body runs, in effect at once elsewhere. Answers the id. */
function register(
  caller: CallContext,
  { builders, spec: fields, job: handle }: CallArgs<"register">,
  options: RegistrationCallsOptions,
): Maybe<CallReply> {
  const job = caller.job(handle);
  options.runner.ids.skip(0, builders);
  const spec = readSpec(fields);
  const declare = (free: boolean): Maybe<CallReply> => {
    if (!free && interferes(spec)) throw new ReplyError(NOT_FREE);
    return declareFor(caller, job, spec, fields.session, options);
  };
  const free = options.rights.isFree(caller.user ?? "");
  return andThen(free, declare);
}

/** Does it take part in the commands of other clients, whatever those commands are about? */
const interferes = ({ hook, commands, mode }: RegistrationSpec): boolean =>
  hook !== undefined || commands !== undefined || mode === "sync";

const NOT_FREE = "NOPERM only a user with all rights may hook commands, name commands, or register in mode sync";

function declareFor(
  caller: CallContext,
  job: Job | undefined,
  spec: RegistrationSpec,
  key: string,
  options: RegistrationCallsOptions,
): Maybe<CallReply> {
  if (job && isDeclaring(job)) return okReply(job.declarations.add(spec).id);
  const session = sessionOf(caller, job, key, options);
  if (options.sessions.isGone(session)) throw new ReplyError("the session of this registration is gone");
  return options.registrations.add(session, spec).then(({ id }) => okReply(id));
}

/**
 * The session of running code. A background coroutine may be of a script that registered nothing: then its session is
 * known to its interpreter only.
 */
function sessionOf(caller: CallContext, job: Job | undefined, key: string, options: RegistrationCallsOptions): Session {
  const user = caller.user ?? "";
  if (options.sessions.isOthers(key, user)) throw new BadMessage("the session is another user's");
  const known = (job?.session as Session | undefined) ?? options.sessions.named(key, user);
  const session = known ?? Session.ofKey(key, user);
  session.home ??= caller.home;
  return session;
}

/** `run()` inside a step, coroutine or callback. Answers the flow's handle. */
function run(
  caller: CallContext,
  { steps, job, session: key }: CallArgs<"run">,
  options: RegistrationCallsOptions,
): CallReply {
  const { runner, maxPending } = options;
  const session = sessionOf(caller, caller.job(job), key, options);
  if (runner.pendingCount >= maxPending) throw new ReplyError(tooManyPending(maxPending));
  const flow = runner.startInner(
    session,
    steps.map(([type, name, arg]) => ({ type, name, arg })),
  );
  return okReply(flow.handle);
}

const isDeclaring = (job: Job): job is DeclaringJob => "declarations" in job;

/** A specification from Python; it was checked when it was decoded. */
function readSpec(fields: CallArgs<"register">["spec"]): RegistrationSpec {
  const bytes = (value: string | null | undefined): Buffer | undefined =>
    value === null || value === undefined ? undefined : Buffer.from(value);
  const { commands } = fields;
  return {
    reader: fields.reader,
    mode: fields.mode,
    description: fields.desc ?? undefined,
    // it is kept: a view would keep the whole message
    blob: Buffer.from(fields.blob),
    hasOnRegistered: fields.has_on_registered,
    prefix: bytes(fields.prefix) ?? Buffer.from("*"),
    eventTypes: fields.eventTypes ?? undefined,
    keyTypes: fields.keyTypes ?? undefined,
    // an empty list means none given
    commands: commands && commands.length > 0 ? commands : undefined,
    readValue: fields.readValue ?? true,
    batch: fields.batch ?? 1,
    duration: fields.duration ?? 0,
    onFailedPolicy: fields.onFailedPolicy ?? "continue",
    retryInterval: fields.onFailedRetryInterval ?? 1,
    trimStream: fields.trimStream ?? true,
    trigger: bytes(fields.trigger),
    hook: fields.hook ?? undefined,
    keyPrefix: bytes(fields.keyprefix),
    inOrder: fields.inorder ?? false,
  };
}
