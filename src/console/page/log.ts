/** What scripts print and log, as it comes. */
import { h } from "./dom.ts";
import { tracebackText } from "./traceback.ts";
import type { View } from "./view.ts";
import { shortId, time } from "./words.ts";

interface Line {
  readonly at: number;
  readonly level: string;
  readonly text: string;
  readonly about?: Readonly<Record<string, unknown>>;
}

/** Lines that are shown; older ones go. */
const MOST = 1_000;
const LEVELS: Readonly<Record<string, string>> = { trace: "debug", debug: "verbose", info: "notice", warn: "warning" };

export function logView(): View {
  const lines = h("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Lines of the log" });
  const state = h("p", { class: "notice", role: "status" });
  const filter = h("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false" });
  const follow = h("input", { id: "follow", type: "checkbox", checked: true });
  const matches = (element: Element): boolean =>
    (element.textContent ?? "").toLowerCase().includes(filter.value.toLowerCase());
  filter.addEventListener("input", () => {
    for (const element of lines.children) (element as HTMLElement).hidden = !matches(element);
  });
  const source = new EventSource("/api/log");
  source.onopen = (): void => {
    // what was before comes again
    lines.replaceChildren();
    state.textContent = "Live.";
  };
  source.onerror = (): void => {
    state.textContent = "The server does not answer, or you may not read the log.";
  };
  source.onmessage = ({ data }: MessageEvent<string>): void => {
    const element = lineElement(JSON.parse(data) as Line);
    element.hidden = !matches(element);
    lines.append(element);
    if (lines.childElementCount > MOST) lines.firstElementChild?.remove();
    if (follow.checked) lines.scrollTop = lines.scrollHeight;
  };
  return {
    element: h(
      "div",
      {},
      h("h1", {}, "Log"),
      h("p", {}, "What scripts print and log, and the failures of their registrations."),
      h(
        "div",
        { class: "bar" },
        h("label", { for: "filter" }, "Only lines with"),
        filter,
        follow,
        h("label", { for: "follow" }, "follow"),
        h("button", { type: "button", class: "quiet", click: () => lines.replaceChildren() }, "Clear"),
      ),
      state,
      lines,
    ),
    close: () => source.close(),
  };
}

function lineElement({ at, level, text, about = {} }: Line): HTMLElement {
  const { session, description, registration, execution, error } = about;
  const name = String(description ?? session ?? "");
  return h(
    "div",
    { class: level },
    h("time", {}, time(at)),
    h("span", { class: "level" }, LEVELS[level] ?? level),
    name !== "" && h("span", { class: "from" }, name),
    typeof registration === "string" && h("span", { class: "from" }, `registration ${shortId(registration)}`),
    typeof execution === "string" && h("a", { href: `#/execution/${execution}` }, shortId(execution)),
    h("span", { class: "text" }, text),
    typeof error === "string" && h("span", { class: "text" }, tracebackText(error)),
  );
}
