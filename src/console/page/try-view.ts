/** A place to try scripts: an editor, results, and what was run before. */
import { list, leftOut, Refused, run } from "./api.ts";
import { h } from "./dom.ts";
import type { Editor } from "./editor.ts";
import { EXAMPLES } from "./examples.ts";
import { isOver, outcomeOf, top } from "./executions.ts";
import { draft, keepDraft, remember, remembered } from "./past.ts";
import { resultTable } from "./result-table.ts";
import { traceback } from "./traceback.ts";
import { Notice, type View } from "./view.ts";
import { count, duration, shortId } from "./shown-values.ts";

const FIRST = `# Runs against the data of this server. Ctrl-Enter runs it.
GB().map(lambda r: {'key': r['key'], 'type': r['type']}).run('*')
`;
/** Milliseconds between two looks at an execution that runs. */
const LOOK_MS = 300;

/** @param upgraded the id of the session that is to be replaced; empty: none */
export function tryView(upgraded: string): View {
  const notice = new Notice();
  const place = h("div", { class: "editor" }, h("p", { class: "empty" }, "The editor comes …"));
  const outcome = h("section", { "aria-label": "Outcome", "aria-live": "polite" });
  const session = h("input", {
    id: "session",
    autocomplete: "off",
    spellcheck: "false",
    value: upgraded,
    placeholder: "none of its own",
  });
  const upgrade = h("input", { id: "upgrade", type: "checkbox", checked: upgraded !== "" });
  const requirements = h("input", {
    id: "requirements",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "none",
  });
  const past = h("select", { id: "past" });
  const examples = h(
    "select",
    { id: "examples" },
    h("option", { value: "" }, "An example …"),
    ...EXAMPLES.map(({ name }) => h("option", { value: name }, name)),
  );
  const runButton = h("button", { type: "button", click: () => void start() }, "Run");
  const stopButton = h("button", { type: "button", class: "quiet", hidden: true, click: () => void stop() }, "Abort");
  let editor: Editor | undefined;
  let running: string | undefined;
  let closed = false;

  const options = (): string[] => [
    ...(session.value ? ["ID", session.value] : []),
    ...(upgrade.checked ? ["UPGRADE"] : []),
    ...(requirements.value.trim() ? ["REQUIREMENTS", ...requirements.value.trim().split(/[\s,]+/)] : []),
  ];
  const showPast = (): void => {
    past.replaceChildren(
      h("option", { value: "" }, "Run before …"),
      ...remembered().map((code, at) =>
        h("option", { value: String(at) }, code.trim().split("\n").at(-1)?.slice(0, 60) ?? ""),
      ),
    );
  };
  const start = (): Promise<void> =>
    notice.attempt(async () => {
      if (!editor || running !== undefined) return;
      const code = editor.text;
      remember(code);
      showPast();
      outcome.replaceChildren();
      notice.tell("It runs …");
      try {
        const id = String(await run("RG.PYEXECUTE", code, "UNBLOCKING", ...options()));
        running = id;
        runButton.disabled = true;
        stopButton.hidden = false;
        await showOutcome(id, code);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        outcome.replaceChildren(h("h2", {}, "Refused"), traceback(error.message, code));
        throw new Error("It was refused.");
      } finally {
        running = undefined;
        runButton.disabled = false;
        stopButton.hidden = true;
      }
    }, "");
  const stop = (): Promise<void> =>
    notice.attempt(async () => {
      if (running !== undefined) await run("RG.ABORTEXECUTION", running);
    });

  const showOutcome = async (id: string, code: string): Promise<void> => {
    const began = performance.now();
    for (let wait = 20; !closed; wait = LOOK_MS) {
      const [progress] = await top("NOSTACK", "ID", id).catch((error) =>
        error instanceof Refused ? [] : Promise.reject(error),
      );
      if (!progress || isOver(progress)) break;
      notice.tell(`It runs for ${duration(performance.now() - began)}: ${count(progress.results)} results so far.`);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
    if (closed) return;
    const link = h("a", { href: `#/execution/${id}` }, `Execution ${shortId(id)}`);
    const reply = await run("RG.GETRESULTS", id);
    const [results, errors] = outcomeOf(reply);
    outcome.replaceChildren(
      ...errors.map((error) => traceback(error, code)),
      h("h2", {}, `${count(list(results).length + leftOut(results))} results`),
      h("p", {}, link, leftOut(results) > 0 ? `, ${count(leftOut(results))} of them not shown` : ""),
      resultTable(results),
    );
  };

  examples.addEventListener("change", () => {
    const example = EXAMPLES.find(({ name }) => name === examples.value);
    if (example && editor) editor.text = example.code;
    examples.value = "";
  });
  past.addEventListener("change", () => {
    const code = remembered()[Number(past.value)];
    if (code !== undefined && editor) editor.text = code;
    past.value = "";
  });
  const keep = (): void => {
    if (editor) keepDraft(editor.text);
  };
  // the page may go at any time, and what was typed is to be there again
  addEventListener("pagehide", keep);
  showPast();
  void notice.attempt(async () => {
    // the largest part of the page, and only this view needs it
    const { Editor } = await import("./editor.ts");
    if (closed) return;
    place.replaceChildren();
    editor = new Editor(place, draft() ?? remembered()[0] ?? FIRST, () => void start());
  });

  return {
    element: h(
      "div",
      {},
      h("h1", {}, upgraded ? `Upgrade session ${upgraded}` : "Try"),
      h(
        "div",
        { class: "bar" },
        h("label", { for: "examples", class: "hidden" }, "Examples"),
        examples,
        h("label", { for: "past", class: "hidden" }, "Scripts that were run before"),
        past,
      ),
      place,
      h(
        "div",
        { class: "bar" },
        ...[runButton, stopButton],
        h("span", { class: "pair" }, h("label", { for: "session" }, "session"), session),
        h("span", { class: "pair" }, upgrade, h("label", { for: "upgrade" }, "upgrade it")),
        h("span", { class: "pair" }, h("label", { for: "requirements" }, "requirements"), requirements),
      ),
      notice.element,
      outcome,
    ),
    close() {
      closed = true;
      keep();
      removeEventListener("pagehide", keep);
      editor?.close();
    },
  };
}
