/** Commands about registrations, and the triggers that call them: docs/spec/commands.md, sections 8 and 9. */
import { ReplyError } from "../errors.ts";
import { NODE_ID } from "../executions/ids.ts";
import type { ExecutionRunner } from "../executions/execution-runner.ts";
import type { Session } from "../executions/session.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { Registration } from "./registration.ts";
import type { RegistrationRegistry } from "./registration-registry.ts";
import type { Execution } from "../executions/execution.ts";
import { MOST_COMMAND_BYTES } from "../python/chunk-memory.ts";
import type { Triggers } from "./triggers.ts";
import { array, bulk, error, integer, nil, type Reply, status, text } from "../resp/reply.ts";
import type { CallsTogether, CommandContext, CommandRow } from "../commands/command.ts";
import { listed } from "../commands/listed.ts";
import { blockingRefusal } from "../commands/table.ts";

interface RegistrationCommandsOptions {
  readonly runner: ExecutionRunner;
  readonly registrations: RegistrationRegistry;
  readonly triggers: Triggers;
  readonly compat: GearsCompat;
}

/** Whose replies are given: clients of 1.2.1 may refuse the fields that came later (`gears-compat`). */
export type GearsCompat = "1.2.13" | "1.2.1";

const OK = status("OK");
const MANY = Number.POSITIVE_INFINITY;

/** The rows of this file. */
export function registrationCommands(options: RegistrationCommandsOptions): CommandRow[] {
  const { registrations, runner } = options;
  const common = {
    since: "1.0",
    group: "registrations",
    testedBy: "test/conformance/cases/config-and-info.json",
  } as const;
  const ofStreams = {
    ...common,
    since: "1.2",
    access: "admin",
    minArgs: 1,
    maxArgs: MANY,
    syntax: "id [id ...]",
    refusedWhenNotBlocking: blockingRefusal,
  } as const;
  const trigger = (args: readonly Buffer[], context: CommandContext): Maybe<Reply> => fire(args, context, options);

  return [
    {
      ...common,
      name: "rg.dumpregistrations",
      passesGate: true,
      summary: "Lists the registrations with their arguments and statistics.",
      access: "read",
      minArgs: 0,
      maxArgs: MANY,
      syntax: "",
      run: (_args, { looked }) => {
        const sessions = new Map<Session, string>();
        const { compat } = options;
        return listed(registrations.list(), looked, (registration) =>
          describeRegistration(registration, { compat, sessions }),
        );
      },
    },
    {
      ...common,
      name: "rg.unregister",
      passesGate: true,
      summary: "Ends a registration; with ABORTPENDING its waiting executions too.",
      access: "admin",
      minArgs: 1,
      maxArgs: 2,
      syntax: "id [ABORTPENDING]",
      run: async ([id, option]) => {
        const registration = registrations.find(id as Buffer);
        if (!registration) throw new ReplyError("execution is not registered");
        registrations.remove(registration, option?.toString("latin1").toUpperCase() === "ABORTPENDING");
        await registrations.kept();
        return OK;
      },
    },
    {
      ...common,
      name: "rg.unregisterall",
      passesGate: true,
      summary: "Ends all registrations; with ABORTPENDING their waiting executions too.",
      since: "regears",
      access: "admin",
      minArgs: 0,
      maxArgs: 1,
      syntax: "[ABORTPENDING]",
      testedBy: "test/registrations/registration-rows.test.ts",
      run: async ([option]) => {
        const all = registrations.list();
        const abortPending = option?.toString("latin1").toUpperCase() === "ABORTPENDING";
        for (const registration of all) registrations.remove(registration, abortPending);
        if (all.length > 0) await registrations.kept();
        return integer(all.length);
      },
    },
    {
      ...common,
      name: "rg.clearregistrationsstats",
      passesGate: true,
      summary: "Sets the statistics of all registrations back.",
      since: "1.2",
      access: "admin",
      minArgs: 0,
      maxArgs: 0,
      syntax: "",
      refusedWhenNotBlocking: blockingRefusal,
      run: () => {
        runner.ids.skip(1, 1);
        for (const registration of registrations.list()) registration.statistics.clear(registration.pending.size);
        return OK;
      },
    },
    {
      ...ofStreams,
      name: "rg.pauseregistrations",
      passesGate: true,
      summary: "Pauses StreamReader registrations.",
      run: (ids) => pause(ids, "pause", options),
    },
    {
      ...ofStreams,
      name: "rg.unpauseregistrations",
      summary: "Lets paused or aborted StreamReader registrations go on.",
      run: (ids) => pause(ids, "unpause", options),
    },
    {
      ...common,
      name: "rg.trigger",
      summary: "Calls the CommandReader registration of a trigger.",
      access: "script",
      minArgs: 1,
      maxArgs: MANY,
      syntax: "trigger [arg ...]",
      movableKeys: true,
      run: trigger,
      together: together(options),
    },
    {
      ...common,
      name: "rg.triggeronkey",
      summary: "Like RG.TRIGGER; the first argument is a key, by which clients of a cluster find the node.",
      since: "1.2",
      access: "script",
      minArgs: 1,
      maxArgs: MANY,
      syntax: "trigger [key [arg ...]]",
      keys: [2, 2, 1],
      run: trigger,
    },
  ];
}

function fire(
  args: readonly Buffer[],
  { caller, ran }: CommandContext,
  { triggers }: RegistrationCommandsOptions,
): Maybe<Reply> {
  return andThen(triggers.fire(args, caller), (execution) => {
    ran?.(execution.totalMs);
    return resultOf(execution);
  });
}

/** Calls of one client that lie here together. */
function together({ triggers }: RegistrationCommandsOptions): CallsTogether {
  return {
    get most() {
      return triggers.most;
    },
    mostBytes: MOST_COMMAND_BYTES,
    run: (all, onReply) => triggers.fireAll(all, (execution) => onReply(resultOf(execution), execution.totalMs)),
  };
}

function resultOf(execution: Execution): Reply {
  const [first] = execution.errors;
  return first === undefined ? execution.results() : error(first);
}

/** All or nothing: every id is checked before anything changes. */
function pause(
  ids: readonly Buffer[],
  verb: "pause" | "unpause",
  { registrations, runner }: RegistrationCommandsOptions,
): Reply {
  const words = ids.filter((id) => id.toString("latin1").toUpperCase() !== "ABORTPENDING");
  if (words.length === 0) throw new ReplyError(`ERR no registration to ${verb}`);
  // RedisGears asks its shards, also when they will refuse
  runner.ids.skip(1, 1);
  const found = words.map((id) => {
    const registration = registrations.find(id);
    if (!registration) throw new ReplyError(`Execution ${id.toString("utf8")} does not exists on shard ${NODE_ID}`);
    const { reader } = registration.spec;
    const side = registrations.pausing(registration);
    if (!side) throw new ReplyError(`Reader ${reader} does not support ${verb}`);
    return { registration, side };
  });
  for (const { registration, side } of found) side[verb](registration);
  return OK;
}

/** Registrations that the text about a session names. */
const LISTED = 100;

/**
 * One element of RG.DUMPREGISTRATIONS.
 * @param sessions the `PD` texts so far, by session; undefined: without one
 */
export function describeRegistration(
  registration: Registration,
  { compat, sessions }: { readonly compat: GearsCompat; readonly sessions: Map<Session, string> | undefined },
): Reply {
  const { spec, statistics } = registration;
  const stream = spec.reader === "StreamReader";
  const old = compat === "1.2.1";
  const data: Reply[] = [
    ...pair("mode", text(spec.mode)),
    ...pair("numTriggered", integer(statistics.triggered)),
    ...pair("numSuccess", integer(statistics.success)),
    ...pair("numFailures", integer(statistics.failures)),
    ...pair("numAborted", integer(statistics.aborted)),
    ...(old ? [] : durations(registration)),
    ...pair("lastError", statistics.lastError === undefined ? nil() : text(statistics.lastError)),
    ...pair("args", array(readerArguments(registration, compat))),
    ...(stream ? pair("status", text(registration.status)) : []),
  ];
  return array([
    ...pair("id", text(registration.id)),
    ...pair("reader", text(spec.reader)),
    ...pair("desc", spec.description === undefined ? nil() : text(spec.description)),
    ...pair("RegistrationData", array(data)),
    ...(sessions ? pair("PD", text(knownText(registration.session, sessions, old))) : []),
    ...(old ? [] : pair("ExecutionThreadPool", text("DefaultPool"))),
  ]);
}

/** What RedisGears tells of times, later than 1.2.1. */
function durations({ spec, statistics }: Registration): Reply[] {
  const run = [
    ...pair("lastRunDurationMS", integer(statistics.lastMs)),
    ...pair("totalRunDurationMS", integer(statistics.totalMs)),
    ...pair("avgRunDurationMS", text(formatDouble(statistics.averageMs))),
  ];
  if (spec.reader !== "StreamReader") return run;
  return [
    ...run,
    ...pair("lastEstimatedLagMS", integer(statistics.lastLagMs)),
    ...pair("avgEstimatedLagMS", text(formatDouble(statistics.averageLagMs))),
  ];
}

function readerArguments({ spec }: Registration, compat: GearsCompat): Reply[] {
  const list = (values: readonly string[] | undefined): Reply => (values ? array(values.map(text)) : nil());
  switch (spec.reader) {
    case "KeysReader":
      return [
        ...pair("regex", bulk(spec.prefix)),
        ...pair("eventTypes", list(spec.eventTypes)),
        ...pair("keyTypes", list(spec.keyTypes)),
        ...pair("hookCommands", list(spec.commands)),
      ];
    case "StreamReader":
      return [
        ...pair("batchSize", integer(spec.batch)),
        ...pair("durationMS", integer(spec.duration)),
        ...pair("stream", bulk(spec.prefix)),
        ...pair("trimStream", integer(spec.trimStream ? 1 : 0)),
        ...pair("onFailedPolicy", text(spec.onFailedPolicy)),
        ...pair("retryInterval", integer(spec.retryInterval)),
      ];
    case "CommandReader":
      return [
        ...pair("trigger", bulk(spec.trigger ?? Buffer.from(spec.hook ?? ""))),
        ...(compat === "1.2.1" ? [] : pair("inorder", integer(spec.inOrder ? 1 : 0))),
      ];
  }
}

function knownText(session: Session, known: Map<Session, string>, old: boolean): string {
  const before = known.get(session);
  if (before !== undefined) return before;
  const made = (old ? oldSessionText : sessionText)(session);
  known.set(session, made);
  return made;
}

/** The `PD` text: one line about a session. Each of its registrations has it, so it names only the first of them. */
export function sessionText(session: Session): string {
  const ids = [...session.registrations.values()]
    .slice(0, LISTED)
    .map(({ id }) => `'${id}'`)
    .join(",");
  return (
    `{'sessionName':'${session.id}', 'sessionDescription':'${session.description ?? "null"}', ` +
    `'refCount': ${session.refCount}, 'linkedTo': ${session.dead ? "None" : "primary"}, 'dead': ${session.dead}, ` +
    `'isInstallationNeeded':${session.installationNeeded ? 1 : 0}, 'registrationsList':[${ids}], 'depsList':[${dependencies(session.requirements)}]}`
  );
}

/** The `PD` text of RedisGears 1.2.1, a literal of Python: clients evaluate it. */
function oldSessionText(session: Session): string {
  const names = session.requirements.map((name) => name.replaceAll(/['\\]/g, "\\$&"));
  return `{'sessionId':'${session.id}', 'depsList':[${dependencies(names)}]}`;
}

function dependencies(names: readonly string[]): string {
  return names.map((name) => `{'name':'${name}', 'basePath':'', 'wheels':[]}`).join(",");
}

/** As C's `%.17g` prints it, which is how the averages come: the shortest text that is exact enough is not enough. */
export function formatDouble(value: number): string {
  const digits = value.toPrecision(17);
  return digits.includes("e") ? digits : digits.replace(/\.?0+$/, "");
}

const pair = (name: string, value: Reply): [Reply, Reply] => [text(name), value];
