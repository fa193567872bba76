/** A flow as a picture: its reader, its steps and its results, with the records that go from each to the next. */
import { fields, list, type Reply, shown } from "./api.ts";
import { h } from "./dom.ts";
import type { Progress } from "./executions.ts";
import { count, counted, duration } from "./shown-values.ts";

/** What RG.GETEXECUTION tells besides: durations in milliseconds. */
interface Plan {
  readonly readMs: number;
  readonly totalMs: number;
  /** Type, argument and duration of each line, last first, as RedisGears lists them. */
  readonly lines: readonly { readonly type: string; readonly arg: string; readonly ms: number }[];
}

export function fieldsOfPlan(reply: Reply): Plan {
  const plan = fields(fields(list(reply)[0]).execution_plan);
  return {
    readMs: Number(plan.read_duration ?? 0),
    totalMs: Number(plan.total_duration ?? 0),
    lines: list(plan.steps).map((line) => {
      const { type, arg, duration: ms } = fields(line);
      return { type: shown(type), arg: shown(arg), ms: Number(ms ?? 0) };
    }),
  };
}

/** Lines of RG.GETEXECUTION that a step of a kind has; one unless it stands here. */
const LINES: Readonly<Record<string, number>> = { flatmap: 2, localgroup: 3, group: 4, batchgroup: 5, repartition: 3 };

export class FlowPicture {
  readonly element = h("ol", {
    class: "flow",
    tabindex: "0",
    "aria-label": "The flow's reader and steps in their order",
  });
  #shown = "";

  show(progress: Progress, plan: Plan): void {
    const boxes = boxesOf(progress, plan);
    const text = JSON.stringify(boxes);
    if (text === this.#shown) return;
    this.#shown = text;
    this.element.replaceChildren(
      ...boxes.map(({ title, detail, notes, isPresent }) =>
        h(
          "li",
          { "aria-current": isPresent ? "step" : undefined },
          h("strong", {}, title),
          detail ? h("code", {}, detail) : undefined,
          ...notes.map((note) => h("span", {}, note)),
        ),
      ),
    );
  }
}

interface Box {
  readonly title: string;
  readonly detail: string;
  readonly notes: readonly string[];
  /** Its code runs just now. */
  readonly isPresent?: boolean;
}

function boxesOf({ reader, steps, step, counts, results, errors }: Progress, plan: Plan): Box[] {
  const records = (at: number): string[] =>
    counts[at] === undefined ? [] : [`${counted(counts[at] ?? 0, "record")} out`];
  const times = (ms: number): string[] => (ms > 0 ? [duration(ms)] : []);
  const perStep = groupLines(steps, plan);
  return [
    { title: reader || "Event", detail: "", notes: [...records(0), ...times(plan.readMs)] },
    ...steps.map((kind, at) => ({
      title: kind,
      // that one is the server's own
      detail: kind === "text" ? "" : nameOf(perStep[at]?.arg ?? ""),
      notes: [...records(at + 1), ...times(perStep[at]?.ms ?? 0)],
      isPresent: step === at + 1,
    })),
    {
      title: "Results",
      detail: "",
      notes: [`${count(results)}`, ...(errors > 0 ? [counted(errors, "error")] : []), ...times(plan.totalMs)],
    },
  ];
}

/** The time and the function of each step. */
function groupLines(kinds: readonly string[], { lines }: Plan): { arg: string; ms: number }[] {
  const left = [...lines];
  // the last line is none of the script's steps
  left.pop();
  return kinds.map((kind) => {
    const own = left.splice(Math.max(left.length - (LINES[kind] ?? 1), 0));
    return { arg: own.find(({ arg }) => arg !== "")?.arg ?? "", ms: own.reduce((sum, { ms }) => sum + ms, 0) };
  });
}

/** `<function parse at 0x1b9c8>` is called `parse`. */
const nameOf = (arg: string): string => /^<function (?:.*<locals>\.)?(.+) at 0x/.exec(arg)?.[1] ?? "";
