/** docs/performance.md and its plot, made of the results that were kept. */
import { factorOf, native, nativeFor } from "./native.ts";
import { type Bar, plot } from "./plot.ts";
import { ratio, rounded } from "./report.ts";
import { type Measured, type RowResult, saved } from "./results.ts";
import { isBetterWhenMore } from "./row.ts";
import { groups } from "./rows.ts";
import type { SideName } from "./servers.ts";

/** The sides beside Regears, in the order of the columns. */
const OTHERS: readonly SideName[] = ["native", "base", "url", "redis"];

export function performancePage(results = saved()): string {
  const all = [...results.values()];
  return `# Performance

Measured times, what they are beside other servers, and what the server takes. \`npm run bench\` has measured, and
\`npm run docs\` has made this page of its results; [bench/README.md](../bench/README.md) says how to measure yourself.

${circumstances(all)}

A figure is the median of the rounds, with the quartiles behind it. Behind another server's figure is how many times as fast, or
as small, Regears is: above 1 Regears is ahead. *PING* is the 99th percentile of what a client's PINGs took that were sent
beside the same work.

${tables(results)}
## Beside native RedisGears

${beside(results)}
## What to make of it

${ADVICE}`;
}

/** The plot of the page: native RedisGears, and redis-server where there are no gears. */
export function performancePlot(results = saved()): string {
  const bars = rowsOf(results).flatMap((result): Bar[] => {
    const name = result.row;
    const times = timesNative(result);
    if (times !== undefined) return [{ label: name, ratio: times, series: 0 }];
    const redis = ratio(result, "redis");
    return redis === undefined ? [] : [{ label: name, ratio: redis, series: 1 }];
  });
  const sorted = bars.sort((one, other) => one.series - other.series || other.ratio - one.ratio);
  const title = "How many times as fast, or small, Regears is";
  return plot(title, ["native RedisGears (scaled)", "redis-server 7.0"], sorted);
}

const ADVICE = `Where many records pass through a few steps, Regears reads keys many at a time, hands records to Python a thousand at a time,
and computes truly in parallel. Where Python and the engine go to and fro, each event and each short script is a message between
two threads, and in native RedisGears a function call; so is each \`execute()\` while hooks, \`sync\` registrations of
keys or streams, monitors or users with less than all rights are there. (Otherwise an interpreter runs the command itself, and so do
\`sync\` executions of a KeysReader.) With an engine by URL
each \`execute()\` is a round trip. What can be one record of a batch should not be an event, and what can be one \`MGET\` should not
be many \`GET\`s.

The first start prepares Python's memory image and takes some seconds; it keeps the image in \`--cache-dir\`. The server is ready
before Python has become fast, which takes half a second more or comes with the first scripts.
`;

/** A load that the cores can not carry. */
const BUSY = `

**The machine was busy with other work.** Times are then several times as long as on a quiet one, above all where threads wake each
other, and only figures of one row can be compared. Measure anew where it matters.`;

const rowsOf = (results: ReadonlyMap<string, RowResult>): RowResult[] =>
  Object.values(groups)
    .flat()
    .flatMap(({ name }) => results.get(name) ?? []);

function circumstances(all: readonly RowResult[]): string {
  const unique = (values: readonly string[]): string => [...new Set(values)].join("; ");
  const machines = unique(
    all.map(({ machine }) => {
      const { processor, cores, memoryGb, system, node } = machine;
      return `${processor}, ${cores} cores, ${memoryGb} GB, ${system}, Node.js ${node}`;
    }),
  );
  const sides = all.flatMap((result) => Object.values(result.sides));
  const versions = unique(sides.map(({ title, version }) => `${title} ${version}`));
  const loads = all.map(({ load }) => load);
  const days = unique(all.map(({ at }) => at.slice(0, 10)));
  const cores = Math.min(...all.map(({ machine }) => machine.cores));
  return `On ${days}: ${machines}, which ran clients and servers; load when rows began ${Math.min(...loads)} to ${Math.max(...loads)}.
Took part: ${versions}.${Math.max(...loads) > cores ? BUSY : ""}`;
}

function tables(results: ReadonlyMap<string, RowResult>): string {
  return Object.entries(groups)
    .map(([title, rows]) => [title, rows.flatMap(({ name }) => results.get(name) ?? [])] as const)
    .filter(([, present]) => present.length > 0)
    .map(([title, present]) => `## ${title}\n\n${table(present)}\n`)
    .join("\n");
}

function table(rows: readonly RowResult[]): string {
  const others = OTHERS.filter((name) => rows.some(({ sides }) => sides[name] !== undefined));
  const titles = others.map((name) => rows.find(({ sides }) => sides[name])?.sides[name]?.title ?? name);
  const pings = rows.some(({ sides }) => sides.regears?.pings);
  const head = ["", "unit", "Regears", ...titles, ...(pings ? ["PING"] : [])];
  const lines = rows.map((result) => {
    const { regears } = result.sides;
    const columns = others.map((name) => compared(result, name));
    const p99 = regears?.pings ? `${regears.pings.p99.toFixed(1)} ms` : "";
    return [escaped(result.row), result.unit, figure(regears), ...columns, ...(pings ? [p99] : [])];
  });
  return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function compared(result: RowResult, name: SideName): string {
  const times = ratio(result, name);
  return times === undefined ? figure(result.sides[name]) : `${figure(result.sides[name])} × ${times.toFixed(2)}`;
}

function figure(side: Measured | undefined): string {
  if (side?.median === undefined || side.lower === undefined || side.upper === undefined)
    return side?.error ? "fails" : "";
  return `${rounded(side.median)} (${rounded(side.lower)}–${rounded(side.upper)})`;
}

const fromTo = ([least, most]: readonly [number, number]): string => (least === most ? `${least}` : `${least}–${most}`);

const escaped = (text: string): string => text.replaceAll("*", "\\*").replaceAll("|", "\\|");

function timesNative(result: RowResult): number | undefined {
  const [theirs, ours] = [nativeFor(result), result.sides.regears?.median];
  if (theirs === undefined || ours === undefined) return undefined;
  return isBetterWhenMore(result.unit) ? ours / theirs : theirs / ours;
}

function beside(results: ReadonlyMap<string, RowResult>): string {
  const rows = rowsOf(results).filter((result) => native.rows[result.row] !== undefined);
  const factors = rows.flatMap((result) => factorOf(result) ?? []);
  const range = `${Math.min(...factors).toFixed(2)} to ${Math.max(...factors).toFixed(2)}`;
  const lines = rows.flatMap((result) => {
    const [there, theirs, times] = [native.rows[result.row], nativeFor(result), timesNative(result)];
    if (there === undefined || theirs === undefined || times === undefined) return [];
    const then = native.then[result.row];
    const ours = result.sides.regears?.median ?? 0;
    const cells = [
      escaped(result.row),
      result.unit,
      fromTo(there),
      then ? fromTo(then) : "",
      rounded(theirs),
      rounded(ours),
      times.toFixed(2),
    ];
    return [`| ${cells.join(" | ")} |`];
  });
  return `Native RedisGears was not there when the figures above were measured. The column *there* is of
${native.about},
on another machine (${native.machine}), where two calibrations were measured too: 500 000 × \`INCR\` in a Lua loop of
redis-server 7.0, and \`fib(24)\` in Python 3.11. They took ${range} times as long here when the rows were measured. So many
times as long native RedisGears would take here, by estimate: that is the column *scaled*. Above 1 Regears is ahead. With
\`--native\` one run measures both, as the runs there did with the Regears of that time (*Regears there*).

![How many times as fast Regears is, as bars](performance.svg)

| | unit | there | Regears there | scaled | Regears | ratio |
| --- | --- | --- | --- | --- | --- | --- |
${lines.join("\n")}
`;
}
