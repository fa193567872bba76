/** One execution: its flow as a picture, its results and errors, and where it is while it runs. */
import { leftOut, Refused, run } from "./api.ts";
import { h, setText } from "./dom.ts";
import { isOver, outcomeOf, type Progress, stateOf, top } from "./executions.ts";
import { fieldsOfPlan, FlowPicture } from "./flow-picture.ts";
import { resultTable } from "./result-table.ts";
import { traceback, withSource } from "./traceback.ts";
import { Notice, repeat, sureButton, type View } from "./view.ts";
import { bytes, count, duration, shortId, time } from "./shown-values.ts";

const EVERY_MS = 1_000;

export function executionView(id: string): View {
  const notice = new Notice();
  const facts = h("dl", { class: "facts" });
  const flow = new FlowPicture();
  const outcome = h("div");
  const where = h("pre", { class: "stack", tabindex: "0", "aria-label": "Python stack" });
  const place = h("section", { hidden: true }, h("h2", {}, "Where its Python is"), where);
  const abort = sureButton(
    "Abort",
    `Abort execution ${shortId(id)}`,
    () => void notice.attempt(async () => void (await run("RG.ABORTEXECUTION", id)), "Aborted."),
  );
  const drop = sureButton(
    "Drop",
    `Drop execution ${shortId(id)}`,
    () =>
      void notice.attempt(async () => {
        await run("RG.DROPEXECUTION", id);
        location.hash = "#/now";
      }),
  );
  abort.hidden = true;
  drop.hidden = true;
  let shown = "";

  const showOutcome = async (progress: Progress): Promise<void> => {
    const [results, errors] = await resultsOf(id);
    const more = leftOut(results);
    outcome.replaceChildren(
      ...(errors.length > 0
        ? [
            h("h2", {}, errors.length === 1 ? "Error" : `${count(errors.length)} errors`),
            ...errors.map((error) => traceback(error, progress.source)),
          ]
        : []),
      h("h2", {}, `Results`),
      ...(more > 0 ? [h("p", {}, `${count(more)} more are not shown.`)] : []),
      resultTable(results),
    );
  };

  const end = repeat(EVERY_MS, () =>
    notice.look(async () => {
      const [progress] = await top("SOURCE", "ID", id).catch((error: unknown) => {
        // there will be none of this id any more
        if (error instanceof Refused) end();
        throw error;
      });
      if (!progress) return;
      showFacts(facts, progress);
      const over = isOver(progress);
      abort.hidden = over;
      drop.hidden = !over;
      place.hidden = over || progress.stack === undefined;
      setText(where, withSource(progress.stack ?? "", progress.source));
      flow.show(progress, fieldsOfPlan(await run("RG.GETEXECUTION", id)));
      if (over && shown !== progress.status) {
        shown = progress.status;
        await showOutcome(progress);
      }
      if (over) end();
    }),
  );

  return {
    element: h(
      "div",
      {},
      ...[h("h1", {}, `Execution ${shortId(id)}`), notice.element, h("p", { class: "actions" }, abort, drop), facts],
      h("section", {}, h("h2", {}, "Flow"), flow.element),
      place,
      outcome,
    ),
    close: () => end(),
  };
}

/** What came of it. An execution of which there are no results has the reason as its error. */
async function resultsOf(id: string): Promise<ReturnType<typeof outcomeOf>> {
  try {
    return outcomeOf(await run("RG.GETRESULTS", id));
  } catch (error) {
    if (error instanceof Refused) return [[], [error.message]];
    throw error;
  }
}

function showFacts(place: HTMLElement, one: Progress): void {
  const rows: [string, string][] = [
    ["state", stateOf(one)],
    ["session", one.description ? `${one.description} (${one.session})` : one.session],
    ["user", one.user],
    ["registration", shortId(one.registration)],
    ["made", time(one.created)],
    ["waited", duration(one.queuedMs)],
    ["elapsed", duration(one.elapsedMs)],
    ["results", count(one.results)],
    ["interpreter", one.interpreter && `${one.interpreter}, ${bytes(one.memoryBytes)}`],
  ];
  const known = rows.filter(([, value]) => value !== "");
  place.replaceChildren(...known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
