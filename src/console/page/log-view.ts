/** What scripts print and log, as it comes. */
import { history, NotLoggedIn, stay } from "./api.ts";
import { h, setText } from "./dom.ts";
import { tracebackText } from "./traceback.ts";
import { messageOf, type View } from "./view.ts";
import { shortId, time } from "./shown-values.ts";

interface Line {
  readonly at: number;
  readonly level: string;
  readonly text: string;
  readonly about?: Readonly<Record<string, unknown>>;
}

/** Lines that are shown; older ones go. */
const MOST = 500;
/** Milliseconds before the next try. */
const RETRY_MS = 2_000;
/** What the server's log marks the lines of scripts with: here there are no others. */
const PREFIX = /^GEARS: /;
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
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;
  const open = (): void => {
    source = new EventSource("/api/log");
    source.onopen = (): void => {
      // what was before comes again
      lines.replaceChildren();
      setText(state, "Live.");
    };
    source.onerror = (): void => void retry();
    source.onmessage = ({ data }: MessageEvent<string>): void => {
      const more = (JSON.parse(data) as readonly Line[]).map(lineElement);
      if (filter.value !== "") for (const element of more) element.hidden = !matches(element);
      lines.append(...more);
      while (lines.childElementCount > MOST) lines.firstElementChild?.remove();
      if (follow.checked) lines.scrollTop = lines.scrollHeight;
    };
  };
  /** A browser does not say what was wrong, and gives up at most errors: the server is asked for something of the same right. */
  const retry = async (): Promise<void> => {
    source?.close();
    try {
      await stay();
      await history(Date.now());
      setText(state, "The log comes again in a moment.");
    } catch (error) {
      if (error instanceof NotLoggedIn) return;
      setText(state, messageOf(error));
    }
    if (!closed) timer = setTimeout(open, RETRY_MS);
  };
  open();
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
    close() {
      closed = true;
      clearTimeout(timer);
      source?.close();
    },
  };
}

function lineElement({ at, level, text, about = {} }: Line): HTMLElement {
  const { session, description, registration, execution, error } = about;
  const registered = typeof registration === "string" ? `registration ${shortId(registration)}` : "";
  const described = typeof description === "string" ? `(${description})` : "";
  const from = [String(session ?? ""), registered, described].filter(Boolean).join(" ");
  return h(
    "div",
    { class: level },
    h("time", {}, time(at)),
    h("span", { class: "level" }, LEVELS[level] ?? level),
    from !== "" && h("span", { class: "from" }, from),
    typeof execution === "string" && h("a", { href: `#/execution/${execution}` }, shortId(execution)),
    h("span", { class: "text" }, text.replace(PREFIX, "")),
    typeof error === "string" && h("div", { class: "text" }, tracebackText(error)),
  );
}
