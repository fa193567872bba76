/**
 * The figures of a server: one table, from which `INFO regears`, `RG.INFO` and the page for Prometheus are made. Nothing is
 * gathered before somebody asks; the parts only keep counters.
 */
import type { ConnectionFigures } from "../connections/figures.ts";
import { DURATION_BOUNDS_MS, type Durations } from "../executions/durations.ts";
import type { ExecutionRegistry } from "../executions/execution-registry.ts";
import type { SessionRegistry } from "../executions/session.ts";
import type { InterpreterFigures } from "../python/python-host.ts";
import type { Registration } from "../registrations/registration.ts";
import type { RegistrationRegistry } from "../registrations/registration-registry.ts";
import type { TimeEventFigures } from "../registrations/time-events.ts";

export interface Sample {
  /** Behind the name, of a histogram. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metric {
  /** Without the prefix `regears_`. */
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter" | "histogram";
  readonly samples: readonly Sample[];
  /** Too much for INFO: each registration, which INFO shows in a section of its own. */
  readonly detail?: true;
}

export interface MetricSources {
  readonly version: string;
  readonly engine: string;
  /** Undefined when the server is ready, else why it is not. */
  readonly problem: () => string | undefined;
  readonly engineUp: () => boolean;
  /** Who holds the engine, so that others wait, and for how many milliseconds. */
  readonly engineHolder: () => { readonly name: string; readonly heldMs: number } | undefined;
  readonly clients: () => { readonly clients: number; readonly accepted: number; readonly refused: number };
  readonly executions: ExecutionRegistry;
  /** How many executions wait for coroutines and futures. */
  readonly waitingExecutions: () => number;
  readonly slowExecutions: () => number;
  /** How often key events may have been missed. */
  readonly eventGaps: () => number;
  readonly timeEvents: () => TimeEventFigures;
  readonly sessions: SessionRegistry;
  readonly registrations: RegistrationRegistry;
  readonly interpreters: () => InterpreterFigures;
  readonly connections: () => ConnectionFigures;
}

/** The figures of this moment. */
export const collectMetrics = (sources: MetricSources): Metric[] => [
  ...collectTotals(sources),
  ...registrationDetails(sources),
];

/** The same without those of each registration, of which there may be very many. */
export function collectTotals(sources: MetricSources): Metric[] {
  return [
    ...serverMetrics(sources),
    ...executionMetrics(sources),
    ...interpreterMetrics(sources.interpreters()),
    ...connectionMetrics(sources.connections()),
    ...registrationTotals(sources),
    ...timeEventMetrics(sources.timeEvents()),
  ];
}

function serverMetrics({ version, engine, problem, engineUp, engineHolder, clients }: MetricSources): Metric[] {
  const { clients: connected, accepted, refused } = clients();
  const { user, system } = process.cpuUsage();
  return [
    { ...gauge("build_info", "Version and engine, as labels", [[{ version, engine }, 1]]), detail: true },
    gauge("ready", "1 when the server answers everything", problem() === undefined ? 1 : 0),
    gauge("engine_up", "1 when the engine can be reached", engineUp() ? 1 : 0),
    gauge("engine_held_seconds", "How long somebody has held the engine now", (engineHolder()?.heldMs ?? 0) / 1000),
    gauge("uptime_seconds", "Since the process was started", process.uptime()),
    gauge("resident_memory_bytes", "Memory of the whole process", process.memoryUsage.rss()),
    counter("cpu_seconds_total", "Processor time of the whole process", (user + system) / 1e6),
    gauge("clients", "Clients that are connected", connected),
    counter("clients_accepted_total", "Clients that were let in", accepted),
    counter("clients_refused_total", "Clients that were turned away by maxclients", refused),
  ];
}

function executionMetrics({ executions, waitingExecutions, slowExecutions, sessions }: MetricSources): Metric[] {
  const { done, failed, aborted, ms } = executions.ended;
  return [
    gauge("executions", "Executions there are, by status", labelled("status", executions.counts())),
    gauge("executions_waiting", "Unfinished ones that wait for coroutines and futures", waitingExecutions()),
    counter("executions_ended_total", "Executions that have ended", labelled("outcome", { done, failed, aborted })),
    counter("execution_seconds_total", "How long the executions that have ended ran", ms / 1000),
    histogram("execution_duration_seconds", "How long executions ran that have ended", [[{}, executions.durations]]),
    counter("executions_slow_total", "Executions that took longer than slow-execution-ms", slowExecutions()),
    gauge("results_bytes", "Memory of the results that are kept", executions.resultBytes),
    gauge(
      "sessions",
      "Sessions with registrations, and replaced ones that are still in use",
      labelled("state", { live: sessions.live().length, dead: sessions.dead().length }),
    ),
  ];
}

function interpreterMetrics(figures: InterpreterFigures): Metric[] {
  const { interpreters, restarts, calls } = figures;
  const states = { booting: 0, idle: 0, busy: 0 };
  for (const { state } of interpreters) states[state]++;
  const each = (value: (one: (typeof interpreters)[number]) => number): [Record<string, string>, number][] =>
    interpreters.map((one) => [{ interpreter: String(one.number) }, value(one)]);
  return [
    gauge("queue_length", "Scripts and executions that wait for an interpreter", figures.queued),
    gauge("queue_oldest_seconds", "How long the first of them has waited", figures.oldestWaitMs / 1000),
    counter("queue_waits_total", "Scripts and executions that had to wait", figures.waits),
    counter("queue_wait_seconds_total", "How long they waited together", figures.waitMs / 1000),
    gauge("interpreters", "Python interpreters, by state", labelled("state", states)),
    gauge("interpreters_limit", "Most interpreters at a time", figures.limit),
    gauge("executions_on_threads", "Executions that count towards ExecutionThreads now", figures.running),
    gauge(
      "interpreter_memory_bytes",
      "Python's memory",
      each((one) => one.heapBytes),
    ),
    gauge(
      "interpreter_sessions",
      "Sessions with registrations in an interpreter",
      each((one) => one.sessions),
    ),
    gauge(
      "interpreter_jobs",
      "Scripts and executions in an interpreter, waiting ones too",
      each((one) => one.jobs),
    ),
    counter(
      "interpreter_restarts_total",
      "Interpreters that died or had to be ended",
      labelled("reason", {
        ...{ unstoppable: 0, memory: 0, sandbox: 0, message: 0, flood: 0, fatal: 0 },
        ...Object.fromEntries(restarts),
      }),
    ),
    counter("calls_total", "Calls from Python to the server", labelled("operation", Object.fromEntries(calls))),
    counter("posts_total", "Messages from Python that want no answer", figures.posts),
    counter("sandbox_denials_total", "System calls that the sandbox answered with an error", figures.denials),
  ];
}

const connectionMetrics = ({ open, opened, refused, received, sent }: ConnectionFigures): Metric[] => [
  gauge("connections", "Connections of scripts to other servers", open),
  counter("connections_opened_total", "Connections that scripts have begun to open", opened),
  counter("connections_refused_total", "Times that scripts were not allowed to connect", refused),
  counter("connections_received_bytes_total", "Bytes that scripts' connections have received", received),
  counter("connections_sent_bytes_total", "Bytes that scripts' connections have sent", sent),
];

function registrationTotals({ registrations, eventGaps }: MetricSources): Metric[] {
  const all = registrations.list();
  const readers = { KeysReader: 0, StreamReader: 0, CommandReader: 0 };
  for (const { spec } of all) readers[spec.reader]++;
  const sum = (value: (one: Registration) => number): number => all.reduce((total, one) => total + value(one), 0);
  const streams = all.filter(({ spec }) => spec.reader === "StreamReader");
  return [
    gauge("registrations", "Registrations, by reader", labelled("reader", readers)),
    gauge(
      "registrations_pending",
      "Executions of registrations in progress",
      sum(({ pending }) => pending.size),
    ),
    gauge("registrations_failing", "Registrations whose last execution failed", sum(failing)),
    gauge(
      "registrations_lag_seconds",
      "Longest of the last delays between a message's arrival in a stream and the end of its execution",
      streams.reduce((most, { statistics }) => Math.max(most, statistics.lastLagMs / 1000), 0),
    ),
    counter(
      "event_gaps_total",
      "Times that the engine did not tell key events, so that some may be missing",
      eventGaps(),
    ),
  ];
}

const timeEventMetrics = ({ states, calls }: TimeEventFigures): Metric[] => [
  gauge(
    "time_events",
    "Time events, by state: due is one whose time has come and that is not called yet",
    labelled("state", states),
  ),
  counter("time_event_calls_total", "Calls of time events' functions", calls),
];

/** Those of each registration. */
function registrationDetails({ registrations }: MetricSources): Metric[] {
  const all = registrations.list();
  const each = (list: readonly Registration[], value: (one: Registration) => number) =>
    list.map((one): [Record<string, string>, number] => [labelsOf(one), value(one)]);
  const detail = { detail: true } as const;
  const streams = all.filter(({ spec }) => spec.reader === "StreamReader");
  const keys = all.filter(({ spec }) => spec.reader === "KeysReader");
  return [
    {
      ...counter(
        "registration_event_gaps_total",
        "Times that key events may have been missed",
        each(keys, (one) => one.statistics.gaps),
      ),
      ...detail,
    },
    {
      ...counter(
        "registration_triggered_total",
        "Executions started",
        each(all, (one) => one.statistics.triggered),
      ),
      ...detail,
    },
    {
      ...counter(
        "registration_succeeded_total",
        "Executions without errors",
        each(all, (one) => one.statistics.success),
      ),
      ...detail,
    },
    {
      ...counter(
        "registration_failed_total",
        "Executions with errors",
        each(all, (one) => one.statistics.failures),
      ),
      ...detail,
    },
    {
      ...counter(
        "registration_aborted_total",
        "Executions aborted",
        each(all, (one) => one.statistics.aborted),
      ),
      ...detail,
    },
    histogram(
      "registration_duration_seconds",
      "How long executions ran that have ended and were not aborted",
      all
        .filter(({ statistics }) => statistics.success + statistics.failures > 0)
        .map((one) => [labelsOf(one), one.statistics.durations]),
    ),
    {
      ...gauge(
        "registration_pending",
        "Executions in progress",
        each(all, (one) => one.pending.size),
      ),
      ...detail,
    },
    {
      ...gauge(
        "registration_lag_seconds",
        "Last delay",
        each(streams, (one) => one.statistics.lastLagMs / 1000),
      ),
      ...detail,
    },
  ];
}

/** By which a registration can be found and put together with others: whose it is, and what it listens to. */
const labelsOf = ({ id, spec, session }: Registration): Record<string, string> => ({
  registration: id,
  reader: spec.reader,
  session: session.id,
  trigger: (spec.reader === "CommandReader" ? (spec.trigger?.toString() ?? spec.hook) : spec.prefix.toString()) ?? "",
});

const failing = ({ statistics }: Registration): number => (statistics.lastError === undefined ? 0 : 1);

type Values = number | readonly (readonly [Readonly<Record<string, string>>, number])[];

const metric = (type: Metric["type"], name: string, help: string, values: Values): Metric => ({
  ...{ name, help, type },
  samples: (typeof values === "number" ? [[{}, values] as const] : values).map(([labels, value]) => ({
    labels,
    value,
  })),
});
const gauge = (name: string, help: string, values: Values): Metric => metric("gauge", name, help, values);
const counter = (name: string, help: string, values: Values): Metric => metric("counter", name, help, values);
function histogram(
  name: string,
  help: string,
  values: readonly (readonly [Readonly<Record<string, string>>, Durations])[],
): Metric {
  const samples = values.flatMap(([labels, { counts, sumMs }]): Sample[] => {
    let count = 0;
    const buckets = counts.map((more, at): Sample => {
      count += more;
      const bound = DURATION_BOUNDS_MS[at];
      return {
        suffix: "_bucket",
        labels: { ...labels, le: bound === undefined ? "+Inf" : String(bound / 1000) },
        value: count,
      };
    });
    return [...buckets, { suffix: "_sum", labels, value: sumMs / 1000 }, { suffix: "_count", labels, value: count }];
  });
  return { name, help, type: "histogram", samples, detail: true };
}
const labelled = (label: string, values: Readonly<Record<string, number>>): [Record<string, string>, number][] =>
  Object.entries(values).map(([key, value]) => [{ [label]: key }, value]);
