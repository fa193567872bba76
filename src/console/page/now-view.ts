/** What happens now: executions as they run, interpreters, rates and times of the last minutes. */
import { history, run, type Sample, type SlowOne, slowest } from "./api.ts";
import { BYTES, Chart, COUNTS, type Line } from "./charts.ts";
import { type Column, h, setText, Table } from "./dom.ts";
import { endOf, nameOf, type Progress, stateOf, stepOf, top } from "./executions.ts";
import { Notice, repeat, sureButton, type View } from "./view.ts";
import { bytes, count, duration, shortId, time } from "./shown-values.ts";

const EVERY_MS = 2_000;
/** Executions that are asked for. */
const ASKED = "100";
/** Samples that are kept: ten minutes of them. */
const MOST_SAMPLES = 300;

const perSecond =
  (name: "done" | "failed" | "aborted") =>
  (now: Sample, before: Sample): number =>
    ((now[name] - before[name]) / (now.at - before.at)) * 1000;

const endedOf = ({ done, failed, aborted }: Sample): number => done + failed + aborted;

function meanMs(now: Sample, before: Sample): number {
  const executions = endedOf(now) - endedOf(before);
  return executions === 0 ? 0 : (now.ranMs - before.ranMs) / executions;
}

const rate = (value: number): string => (value >= 100 ? count(Math.round(value)) : value.toFixed(1));

const RATES: readonly Line[] = [
  { label: "done", colour: 1, value: perSecond("done") },
  { label: "failed", colour: 2, value: perSecond("failed") },
  { label: "aborted", colour: 3, value: perSecond("aborted") },
];
const MEMORY: readonly Line[] = [
  { label: "Python", colour: 1, value: ({ pythonBytes }) => pythonBytes },
  { label: "process", colour: 3, value: ({ processBytes }) => processBytes },
];

interface Interpreter {
  readonly number: string;
  readonly values: ReadonlyMap<string, string>;
}

export function nowView(): View {
  const notice = new Notice();
  const charts = [
    new Chart("Executions per second", RATES, rate),
    new Chart("Mean duration", [{ label: "of those that ended", colour: 1, value: meanMs }], duration),
    new Chart(
      "Queue",
      [
        { label: "waiting", colour: 1, value: ({ queued }) => queued },
        { label: "unfinished", colour: 3, value: ({ running }) => running },
      ],
      (value) => count(Math.round(value)),
      COUNTS,
    ),
    new Chart("Memory", MEMORY, bytes, BYTES),
    new Chart(
      "Processor",
      [
        {
          label: "of one core",
          colour: 1,
          value: (now, before) => ((now.cpuMs - before.cpuMs) / (now.at - before.at)) * 100,
        },
      ],
      (value) => `${Math.round(value)} %`,
    ),
  ];
  const facts = h("dl", { class: "facts" });
  const fact = (name: string): HTMLElement => {
    const value = h("dd");
    facts.append(h("div", {}, h("dt", {}, name), value));
    return value;
  };
  const [unended, waiting, clients, state] = [fact("unfinished"), fact("queue"), fact("clients"), fact("server")];
  const unfinished = executionTable(notice);
  const slowOnes = slowTable();
  let samples: readonly Sample[] = [];
  const interpreters = new Table<Interpreter>(
    "Interpreters",
    [
      { title: "Interpreter", text: ({ number }) => number },
      { title: "Memory", kind: "number", text: ({ values }) => bytes(Number(values.get("memory_bytes") ?? 0)) },
      { title: "Tasks", kind: "number", text: ({ values }) => values.get("tasks") ?? "" },
      { title: "Sessions", kind: "number", text: ({ values }) => values.get("sessions") ?? "" },
    ],
    ({ number }) => number,
    "No interpreter has started.",
  );

  const refresh = (): Promise<void> =>
    notice.look(async () => {
      const [newer, running, slow, info] = await Promise.all([
        history(samples.at(-1)?.at ?? 0),
        top("COUNT", ASKED),
        slowest(),
        infoLines(),
      ]);
      samples = [...samples, ...newer].slice(-MOST_SAMPLES);
      for (const chart of charts) chart.show(samples);
      unfinished.show(running);
      slowOnes.show(slow);
      interpreters.show(interpretersOf(info));
      const latest = samples.at(-1);
      setText(unended, count(latest?.running ?? 0));
      setText(waiting, latest?.queued ? `${count(latest.queued)}, first for ${duration(latest.queueMs)}` : "empty");
      setText(clients, count(latest?.clients ?? 0));
      setText(state, `${info.get("state") ?? ""}, ${info.get("version") ?? ""}`);
    });
  const end = repeat(EVERY_MS, refresh);

  return {
    element: h(
      "div",
      {},
      ...[h("h1", {}, "Now"), notice.element, facts],
      h("section", {}, h("h2", {}, "In progress"), unfinished.element),
      h("section", { class: "charts", "aria-label": "The last ten minutes" }, ...charts.map(({ element }) => element)),
      h("section", {}, h("h2", {}, "Slowest of the last ten minutes"), slowOnes.element),
      h("section", {}, h("h2", {}, "Interpreters"), interpreters.element),
    ),
    close() {
      end();
      for (const chart of charts) chart.close();
    },
  };
}

/** What both tables of executions have. */
const FIGURES: readonly Column<{ records: number; results: number; errors: number }>[] = [
  { title: "Read", kind: "number", text: ({ records }) => (records ? count(records) : "") },
  { title: "Results", kind: "number", text: ({ results }) => count(results) },
  { title: "Errors", kind: "number", text: ({ errors }) => (errors ? count(errors) : "") },
];

/** @param notice is told what comes of an abort */
function executionTable(notice: Notice): Table<Progress> {
  const abort = (id: string): void =>
    void notice.attempt(async () => void (await run("RG.ABORTEXECUTION", id)), `${shortId(id)} was aborted.`);
  return new Table<Progress>(
    "Executions in progress",
    [
      { title: "Execution", node: ({ id }) => h("a", { href: `#/execution/${id}` }, shortId(id)) },
      { title: "Session", kind: "wide", text: nameOf },
      { title: "State", text: stateOf, state: (one) => `state ${stateOf(one)}` },
      { title: "Step", text: stepOf },
      { title: "Began", text: ({ created, queuedMs }) => time(created + queuedMs) },
      { title: "Elapsed", kind: "number", text: ({ elapsedMs }) => duration(elapsedMs) },
      ...FIGURES,
      {
        title: "Abort",
        node: ({ id }) => sureButton("Abort", `Abort execution ${shortId(id)}`, () => abort(id)),
      },
    ],
    ({ id }) => id,
    "Nothing runs.",
  );
}

/** What took longest of what has ended. */
const slowTable = (): Table<SlowOne> =>
  new Table<SlowOne>(
    "Slowest executions that have ended",
    [
      {
        title: "Execution",
        node: ({ id, kept }) => (kept ? h("a", { href: `#/execution/${id}` }, shortId(id)) : shortId(id)),
      },
      { title: "Session", kind: "wide", text: nameOf },
      { title: "State", text: endOf, state: (one) => `state ${endOf(one)}` },
      { title: "Began", text: ({ startedAt }) => time(startedAt) },
      { title: "Elapsed", kind: "number", text: ({ elapsedMs }) => duration(elapsedMs) },
      ...FIGURES,
    ],
    ({ id }) => id,
    "None has ended.",
  );

async function infoLines(): Promise<ReadonlyMap<string, string>> {
  const lines = String(await run("RG.INFO")).split("\r\n");
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}

/** INFO has a line for each figure of each interpreter, such as `interpreter_memory_bytes_2`. */
function interpretersOf(info: ReadonlyMap<string, string>): Interpreter[] {
  const found = new Map<string, Map<string, string>>();
  for (const [name, value] of info) {
    const [, what, number] = /^interpreter_(memory_bytes|tasks|sessions)_(\d+)$/.exec(name) ?? [];
    if (what === undefined || number === undefined) continue;
    const values = found.get(number) ?? new Map<string, string>();
    found.set(number, values.set(what, value));
  }
  return [...found].map(([number, values]) => ({ number, values }));
}
