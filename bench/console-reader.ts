/**
 * A process of its own that asks the console what an open page asks, and shows nothing: so the server's own cost can be measured
 * without a browser. It has the lowest priority, and takes no time that server or client want.
 */
import { setPriority } from "node:os";
import { history, login, run, runPart, slowest } from "../src/console/page/api.ts";
import { top } from "../src/console/page/executions.ts";

/** What the bench asks of the process: which view is open from now on; empty: none. */
export interface Order {
  readonly origin: string;
  readonly view: string;
}

/** The rows of the two lists of the view of registrations. */
const PART = { from: 0, most: 100, match: "" };

let cookie = "";
/** Ends what the view asks again and again. */
let close = new AbortController();

/** What a browser adds to the requests of a page. */
function actAsBrowser(origin: string): void {
  const send = globalThis.fetch;
  globalThis.fetch = async (path, init = {}) => {
    const headers = { ...(init.headers as Record<string, string> | undefined), origin, cookie };
    const response = await send(`${origin}${String(path)}`, { ...init, headers });
    const [given] = response.headers.getSetCookie();
    if (given !== undefined) cookie = given.split(";")[0] ?? "";
    return response;
  };
}

/** The requests of the views, and the milliseconds between them: now-view.ts, registrations-view.ts. */
let newest = 0;
const LOOKS: Readonly<Record<string, readonly [everyMs: number, look: () => Promise<unknown>]>> = {
  now: [
    2_000,
    async () => {
      const [newer] = await Promise.all([history(newest), top("COUNT", "100"), slowest(), run("RG.INFO")]);
      newest = newer.at(-1)?.at ?? newest;
    },
  ],
  registrations: [
    3_000,
    () => Promise.all([runPart(PART, "RG.DUMPREGISTRATIONS"), runPart(PART, "RG.PYDUMPSESSIONS")]),
  ],
};

/** The log is a stream that the page reads as it comes. */
async function readLog(signal: AbortSignal): Promise<void> {
  const { body } = await fetch("/api/log", { signal });
  for await (const chunk of body ?? []) void chunk;
}

async function open({ origin, view }: Order): Promise<void> {
  close.abort();
  close = new AbortController();
  if (cookie === "") {
    actAsBrowser(origin);
    await login("default", "");
  }
  const { signal } = close;
  const [everyMs, look] = LOOKS[view] ?? [];
  if (look) {
    await look();
    const timer = setInterval(() => void look(), everyMs);
    signal.addEventListener("abort", () => clearInterval(timer));
  } else if (view === "log") {
    readLog(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}

setPriority(19);
process.on("message", (order: Order) => {
  void open(order).then(() => process.send?.("open"));
});
process.on("disconnect", () => process.exit());
