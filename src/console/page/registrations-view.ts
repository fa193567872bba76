/** What scripts have registered, and the sessions that they live in. */
import { fields, leftOut, list, type Reply, run, runPart, shown } from "./api.ts";
import { h, setText, Table } from "./dom.ts";
import { tracebackText } from "./traceback.ts";
import { Notice, repeat, sureButton, type View } from "./view.ts";
import { count, duration, shortId } from "./shown-values.ts";

const EVERY_MS = 3_000;
/** Rows of a table at a time. */
const ROWS = 100;

interface Registered {
  readonly id: string;
  readonly reader: string;
  readonly description: string;
  readonly data: Readonly<Record<string, Reply>>;
  readonly args: Readonly<Record<string, Reply>>;
}

interface SessionInfo {
  readonly id: string;
  readonly description: string;
  readonly registrations: readonly string[];
  readonly requirements: readonly string[];
}

export function registrationsView(): View {
  const notice = new Notice();
  const act = (done: string, ...command: readonly string[]): void =>
    void notice.attempt(async () => {
      await run(...command);
      await refresh();
    }, done);
  const table = new Table<Registered>(
    "Registrations",
    [
      { title: "Registration", text: ({ id }) => shortId(id) },
      { title: "Listens to", kind: "wide", text: listensTo },
      { title: "Triggered", kind: "number", text: ({ data }) => counted(data.numTriggered) },
      {
        title: "Failed",
        kind: "number",
        text: ({ data }) => counted(data.numFailures),
        state: ({ data }) => (data.numFailures ? "bad" : ""),
      },
      { title: "Aborted", kind: "number", text: ({ data }) => counted(data.numAborted) },
      { title: "Mean", kind: "number", text: ({ data }) => duration(Number(data.avgRunDurationMS ?? 0)) },
      { title: "Lag", kind: "number", text: lagOf },
      { title: "Last error", kind: "wide", text: ({ data }) => lastLine(shown(data.lastError)), state: () => "error" },
      { title: "Actions", node: (one) => actions(one) },
    ],
    // what can be done depends on the status
    ({ id, data }) => `${id} ${shown(data.status)}`,
    "Nothing is registered.",
  );
  const actions = ({ id, reader, data }: Registered): HTMLElement => {
    const name = shortId(id);
    const [verb, text] = shown(data.status) === "OK" ? ["PAUSE", "Pause"] : ["UNPAUSE", "Go on"];
    const pause = (): void => act("", `RG.${verb}REGISTRATIONS`, id);
    return h(
      "span",
      { class: "actions" },
      reader === "StreamReader" &&
        h(
          "button",
          { type: "button", class: "quiet", "aria-label": `${text}: registration ${name}`, click: pause },
          text,
        ),
      sureButton("Unregister", `Unregister ${name}`, () => act(`${name} is unregistered.`, "RG.UNREGISTER", id)),
    );
  };
  const sessions = new Table<SessionInfo>(
    "Sessions",
    [
      { title: "Session", kind: "wide", text: ({ id }) => id },
      { title: "Description", kind: "wide", text: ({ description }) => description },
      { title: "Registrations", text: ({ registrations }) => registrations.map(shortId).join(", ") },
      { title: "Requirements", text: ({ requirements }) => requirements.join(", ") },
      {
        title: "Upgrade",
        node: ({ id }) =>
          h("a", { href: `#/try/${encodeURIComponent(id)}` }, `Upgrade ${id.length > 16 ? `${id.slice(0, 12)}…` : id}`),
      },
    ],
    ({ id }) => id,
    "There are none.",
  );
  const look = (): Promise<void> => notice.look(refresh);
  const registrationPages = new Pages("registrations", look);
  const sessionPages = new Pages("sessions", look);
  const refresh = async (): Promise<void> => {
    const [all, known] = await Promise.all([
      runPart(registrationPages.part, "RG.DUMPREGISTRATIONS"),
      runPart(sessionPages.part, "RG.PYDUMPSESSIONS"),
    ]);
    table.show(list(all).map(registered));
    registrationPages.show(list(all).length, leftOut(all));
    sessions.show(list(known).map(sessionInfo));
    sessionPages.show(list(known).length, leftOut(known));
  };
  const end = repeat(EVERY_MS, look);
  return {
    element: h(
      "div",
      {},
      ...[h("h1", {}, "Registrations and sessions"), notice.element],
      h("section", {}, h("h2", {}, "Registrations"), registrationPages.element, table.element),
      h("section", {}, h("h2", {}, "Sessions"), sessionPages.element, sessions.element),
    ),
    close: end,
  };
}

/** Which rows of a long list are shown: those that hold a text, so many at a time. */
class Pages {
  readonly element: HTMLElement;
  #from = 0;
  readonly #match: HTMLInputElement;
  readonly #where = h("span", { role: "status" });
  readonly #earlier: HTMLButtonElement;
  readonly #later: HTMLButtonElement;

  /** @param what is listed @param changed is called when other rows are wanted */
  constructor(what: string, changed: () => void) {
    const id = `find-${what}`;
    const move = (rows: number) => (): void => {
      this.#from = Math.max(0, this.#from + rows);
      changed();
    };
    const button = (text: string, rows: number): HTMLButtonElement =>
      h("button", { type: "button", class: "quiet", "aria-label": `${text} ${what}`, click: move(rows) }, text);
    this.#match = h("input", { id, type: "search", autocomplete: "off", spellcheck: "false", change: move(-Infinity) });
    this.#earlier = button("Earlier", -ROWS);
    this.#later = button("Later", ROWS);
    const label = h("label", { for: id }, `Only ${what} with`);
    this.element = h("div", { class: "bar" }, label, this.#match, this.#where, this.#earlier, this.#later);
  }

  get part() {
    // ids are shown without the zeros that they begin with
    return { from: this.#from, most: ROWS, match: this.#match.value.trim().replace(/^#/, "0-") };
  }

  /** @param rows that came @param more that come after them */
  show(rows: number, more: number): void {
    const all = this.#from + rows + more;
    setText(this.#where, rows === 0 ? "" : `${count(this.#from + 1)} to ${count(this.#from + rows)} of ${count(all)}`);
    this.#earlier.hidden = this.#from === 0;
    this.#later.hidden = more === 0;
    // few need no help
    this.element.hidden = all <= ROWS && this.#match.value === "";
  }
}

function registered(reply: Reply): Registered {
  const { id, reader, desc, RegistrationData } = fields(reply);
  const data = fields(RegistrationData);
  return { id: shown(id), reader: shown(reader), description: shown(desc), data, args: fields(data.args) };
}

function sessionInfo(reply: Reply): SessionInfo {
  const { ID, sessionDescription, registrations, requirements } = fields(reply);
  return {
    id: shown(ID),
    description: shown(sessionDescription),
    registrations: list(registrations).map(shown),
    requirements: list(requirements).map(shown),
  };
}

/** How far a stream is behind, and its state unless it is well. */
function lagOf({ data }: Registered): string {
  if (data.lastEstimatedLagMS === undefined) return "";
  const status = shown(data.status);
  return [duration(Number(data.lastEstimatedLagMS)), ...(status === "OK" ? [] : [status.toLowerCase()])].join(", ");
}

function listensTo({ reader, description, args, data }: Registered): string {
  const { regex, eventTypes, stream, batchSize, trigger, hookCommands } = args;
  const events = list(eventTypes).map(shown).join(", ");
  const what =
    reader === "KeysReader"
      ? `keys ${shown(regex)}${events ? ` on ${events}` : ""}${list(hookCommands).length > 0 ? ` by ${list(hookCommands).map(shown).join(", ")}` : ""}`
      : reader === "StreamReader"
        ? `stream ${shown(stream)}, ${shown(batchSize)} at a time`
        : `command ${shown(trigger)}`;
  return [`${what}, ${shown(data.mode)}`, ...(description ? [description] : [])].join(" – ");
}

const counted = (value: Reply | undefined): string => count(Number(value ?? 0));

/** Of a traceback the last line says what was wrong. */
const lastLine = (error: string): string => tracebackText(error).trimEnd().split("\n").at(-1) ?? "";
