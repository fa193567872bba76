/** RG.PYEXECUTE and the commands about executions: docs/spec/commands.md, sections 5 to 7. */
import { ReplyError } from "../errors.ts";
import type { Execution } from "./execution.ts";
import { NODE_ID } from "./ids.ts";
import type { ExecutionSummary } from "./execution-registry.ts";
import type { Requirements } from "./requirements.ts";
import { type ExecutionRunner, tooManyPending } from "./execution-runner.ts";
import type { Declarations } from "./script.ts";
import { Session, type SessionRegistry } from "./session.ts";
import { array, bulk, integer, type Reply, status, text } from "../resp/reply.ts";
import type { CommandContext, CommandRow } from "../commands/command.ts";
import { blockingRefusal } from "../commands/table.ts";

interface ExecutionCommandsOptions {
  readonly runner: ExecutionRunner;
  readonly sessions: SessionRegistry;
  readonly registrations: {
    /** Begins to gather what a script's body registers. @param replaces gives the session that it takes the place of */
    declare(session: Session, replaces: () => Session | undefined): Declarations;
  };
  readonly requirements: Requirements;
  readonly limits: {
    /** Bytes that a script may have. */
    readonly scriptBytes: number;
    /** Bytes up to which the text of a script is kept, to be shown beside its errors; 0: none is. */
    readonly keptSourceBytes: number;
    /** Executions that may be unfinished before scripts are refused. */
    readonly pending: number;
  };
}

const NOT_HERE = "Can not run gears inside a multi exec, lua, or when blocking is not allowed";
const UNKNOWN = "execution plan does not exist";

const OK = status("OK");

/** The rows of this file. */
export function executionCommands(options: ExecutionCommandsOptions): CommandRow[] {
  const { runner } = options;
  const { registry } = runner;
  const find = (id: Buffer | undefined, unknown = UNKNOWN): Execution => {
    const execution = id && registry.find(id);
    if (!execution) throw new ReplyError(unknown);
    return execution;
  };

  const common = { since: "1.0", group: "executions" } as const;
  const ofResults = { ...common, passesGate: true, testedBy: "test/conformance/cases/results-registry.json" } as const;

  return [
    {
      ...common,
      name: "rg.pyexecute",
      summary: "Runs a Python script; answers its results, OK, or with UNBLOCKING the execution's id.",
      access: "script",
      minArgs: 1,
      maxArgs: Number.POSITIVE_INFINITY,
      syntax:
        "script [UNBLOCKING] [ID id] [DESCRIPTION text] [UPGRADE] [REPLACE_WITH id] [FORCE_REINSTALL_REQUIREMENTS] [REQUIREMENTS requirement ...]",
      refusedWhenNotBlocking: () => NOT_HERE,
      refusesFirst: true,
      testedBy: "test/conformance/cases/pyexecute-basics.json",
      run: ([code, ...rest], context) => pyexecute(code as Buffer, parseOptions(rest), context, options),
    },
    {
      ...ofResults,
      name: "rg.getresults",
      summary: "Answers the results and errors of a finished execution.",
      access: "read",
      minArgs: 1,
      maxArgs: Number.POSITIVE_INFINITY,
      syntax: "id",
      run: ([id]) => {
        const execution = find(id);
        if (!execution.isFinished) throw new ReplyError("execution is still running");
        registry.touch(execution);
        return execution.reply();
      },
    },
    {
      ...ofResults,
      name: "rg.getresultsblocking",
      summary: "Waits for an execution to finish and answers its results and errors.",
      access: "read",
      minArgs: 1,
      maxArgs: 1,
      syntax: "id",
      run: ([id], { caller, signal }) => {
        const execution = find(id);
        if (execution.isFinished) {
          registry.touch(execution);
          return execution.reply();
        }
        if (!caller.canWait) throw new ReplyError(blockingRefusal(caller));
        return untilGone(execution.finished, signal).then(() => execution.reply());
      },
    },
    {
      ...ofResults,
      name: "rg.dumpexecutions",
      summary: "Lists the executions there are, with their statuses.",
      access: "read",
      minArgs: 0,
      maxArgs: Number.POSITIVE_INFINITY,
      syntax: "",
      run: () => array(registry.list().map(dumpLine)),
    },
    {
      ...ofResults,
      name: "rg.dropexecution",
      summary: "Forgets a finished execution and its results.",
      access: "admin",
      minArgs: 1,
      maxArgs: 1,
      syntax: "id",
      run: ([id]) => {
        const execution = find(id);
        if (!execution.isFinished) throw new ReplyError("can not drop a not yet finished execution, abort it first.");
        registry.drop(execution);
        return OK;
      },
    },
    {
      ...ofResults,
      name: "rg.abortexecution",
      summary: "Stops an execution, whatever its code does; answers when it has stopped.",
      access: "admin",
      minArgs: 1,
      maxArgs: 1,
      syntax: "id",
      run: async ([id], { caller }) => {
        const execution = find(id, "execution does not exist");
        if (!caller.canWait) throw new ReplyError(blockingRefusal(caller));
        runner.ids.skip(1, 1);
        await runner.abort(execution);
        return OK;
      },
    },
    {
      ...ofResults,
      name: "rg.getexecution",
      summary: "Shows an execution in detail: status, counts, durations and steps.",
      access: "read",
      minArgs: 1,
      maxArgs: 2,
      syntax: "id [SHARD|CLUSTER]",
      run: ([id, scope]) => {
        const execution = find(id);
        checkScope(scope?.toString("latin1").toUpperCase());
        if (execution.isFinished) return describe(execution);
        return runner.untilDeclared(execution).then(() => describe(execution));
      },
    },
  ];
}

function checkScope(scope: string | undefined): void {
  if (scope === undefined || scope === "SHARD") return;
  throw new ReplyError(
    scope === "CLUSTER" ? "no cluster detected - use `RG.GETEXECUTION <id> [SHARD]` instead" : "unknown subcommand",
  );
}

/** Resolves when `done` does or the caller has gone, so that a waiting reply does not outlive its reader. */
function untilGone(done: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      signal.removeEventListener("abort", finish);
      resolve();
    };
    signal.addEventListener("abort", finish, { once: true });
    void done.then(finish);
  });
}

interface ScriptOptions {
  unblocking: boolean;
  id: string | undefined;
  description: string | undefined;
  upgrade: boolean;
  replaceWith: string | undefined;
  requirements: string[];
  reinstall: boolean;
}

/** Most bytes of a script's options together. */
const MAX_OPTION_BYTES = 1024 * 1024;
/** Longest ID of a session: interpreters name it with everything that they ask. */
const MAX_ID = 4096;
const ID_FORM = /^[A-Za-z0-9_-]*$/;

function parseOptions(args: readonly Buffer[]): ScriptOptions {
  const options: ScriptOptions = {
    unblocking: false,
    id: undefined,
    description: undefined,
    upgrade: false,
    replaceWith: undefined,
    requirements: [],
    reinstall: false,
  };
  const bytes = args.reduce((sum, { length }) => sum + length, 0);
  if (bytes > MAX_OPTION_BYTES)
    throw new ReplyError(`ERR the options are too long: more than ${MAX_OPTION_BYTES} bytes`);
  for (let at = 0; at < args.length; at++) {
    const word = (args[at] as Buffer).toString("utf8");
    const optionValue = (name: string): string => {
      const value = args[++at];
      if (value === undefined) throw new ReplyError(`${name} is missing`);
      return value.toString("utf8");
    };
    switch (word.toUpperCase()) {
      case "UNBLOCKING":
        options.unblocking = true;
        break;
      case "ID":
        options.id = optionValue("ID");
        if (options.id.length > MAX_ID) throw new ReplyError(`ERR an ID may have at most ${MAX_ID} characters`);
        if (!ID_FORM.test(options.id)) {
          throw new ReplyError("ID must be compose of: ['A'-'Z' | 'a'-'z' | '0' - '9' | '-' | '_']");
        }
        break;
      case "DESCRIPTION":
        options.description = optionValue("DESCRIPTION");
        break;
      case "UPGRADE":
        options.upgrade = true;
        break;
      case "REPLACE_WITH":
        options.replaceWith = optionValue("REPLACE_WITH");
        break;
      case "FORCE_REINSTALL_REQUIREMENTS":
        options.reinstall = true;
        break;
      case "REQUIREMENTS":
        options.requirements = args.slice(at + 1).map((requirement) => requirement.toString("utf8"));
        return options;
      default:
        throw new ReplyError(`Unknown arguments were given: ${word}`);
    }
  }
  return options;
}

function pyexecute(
  code: Buffer,
  { unblocking, id, description, upgrade, replaceWith, requirements, reinstall }: ScriptOptions,
  { caller: { user, owner }, ran, observed = false }: Pick<CommandContext, "caller" | "ran" | "observed">,
  { runner, sessions, registrations, requirements: known, limits }: ExecutionCommandsOptions,
): Reply | Promise<Reply> {
  if (code.length > limits.scriptBytes) {
    throw new ReplyError(`ERR the script is too long: ${code.length} bytes, max-script-size is ${limits.scriptBytes}`);
  }
  if (runner.pendingCount >= limits.pending) throw new ReplyError(tooManyPending(limits.pending));
  const session = new Session(id, description, requirements, user);
  if (code.length <= limits.keptSourceBytes) session.source = code;
  const replaces = (): Session | undefined => {
    const present = sessions.find(session.id);
    let replaced = present;
    if (replaceWith !== undefined) {
      if (present) throw new ReplyError(`Can not replace an existing session ${session.id} with ${replaceWith}`);
      replaced = sessions.find(replaceWith);
      if (!replaced) throw new ReplyError(`Can not replace with ${replaceWith}, session does not exists.`);
    } else if (present && !upgrade) {
      throw new ReplyError(`Session ${session.id} already exists`);
    }
    if (replaced && replaced.user !== user) {
      throw new ReplyError(`NOPERM session ${replaced.id} belongs to user '${replaced.user}'`);
    }
    return replaced;
  };
  const declare = (): Declarations => registrations.declare(session, replaces);
  return runner.runScript({
    ...{ code, session, unblocking, declare, observed },
    connection: owner,
    prepare: () => known.prepare(session, reinstall),
    onEffect: () => known.note(session),
    ...(ran && !unblocking && { onRan: ran }),
  });
}

const dumpLine = (execution: ExecutionSummary): Reply =>
  array([
    text("executionId"),
    text(execution.id),
    text("status"),
    text(execution.status),
    text("registered"),
    integer(execution.registered ? 1 : 0),
  ]);

function describe(execution: Execution): Reply {
  const steps = execution.steps.map((step, at) =>
    array([
      text("type"),
      text(step.type),
      text("duration"),
      integer(Math.round(execution.stepMs[at] ?? 0)),
      text("name"),
      text(step.name),
      text("arg"),
      text(step.arg),
    ]),
  );
  const plan = array([
    text("status"),
    text(execution.status),
    text("shards_received"),
    integer(0),
    text("shards_completed"),
    integer(0),
    text("results"),
    integer(execution.isFinished ? execution.resultCount : -1),
    text("errors"),
    array(execution.errors.map((error) => bulk(Buffer.from(error)))),
    text("total_duration"),
    integer(Math.round(execution.totalMs)),
    text("read_duration"),
    integer(Math.round(execution.readMs)),
    text("steps"),
    array(steps),
  ]);
  return array([array([text("shard_id"), text(NODE_ID), text("execution_plan"), plan])]);
}
