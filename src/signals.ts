/**
 * What the process does with signals. Listening for one is harmless on Windows, which knows few of them; there SIGHUP tells
 * that the window is being closed.
 */
import { close as closeInspector, url as inspectorUrl } from "node:inspector";

/**
 * Signals that would end a process which does not listen for them (SIGPIPE is ignored by Node.js); SIGUSR1 would open its
 * debugger on a port.
 */
const WITHOUT_MEANING = ["SIGUSR1", "SIGUSR2", "SIGQUIT"] as const;
const WINDOWS = process.platform === "win32";

/** Makes signals and outputs that nobody reads harmless. To be called before anything else, in the main thread. */
export function withstand(): void {
  for (const signal of WITHOUT_MEANING) process.on(signal, () => {});
  if (!WINDOWS) process.on("SIGHUP", () => {});
  for (const output of [process.stdout, process.stderr]) output.on("error", () => {});
  closeUnwantedDebugger();
}

/**
 * A SIGUSR1 that came before there was a listener has opened the debugger, or will in a moment. Whoever wants it says so
 * (`node --inspect`). Versions of Node.js that know `--disable-sigusr1` need none of this when they are started with it.
 */
function closeUnwantedDebugger(): void {
  const options = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
  if (options.some((option) => /^--inspect(-brk|-wait)?(=|$)/.test(option))) return;
  const check = (): void => {
    if (inspectorUrl() !== undefined) closeInspector();
  };
  check();
  const checking = setInterval(check, CHECK_MS).unref();
  setTimeout(() => clearInterval(checking), SETTLED_MS).unref();
}

const CHECK_MS = 10;
/** Milliseconds after which the debugger has opened if it was asked to. */
const SETTLED_MS = 1000;

interface SignalActions {
  /** Save and end. */
  stop(signal: string): void;
  /** Open the log file anew. */
  reopenLog(): void;
}

/** Listens for the signals that mean something. */
export function obey({ stop, reopenLog }: SignalActions): void {
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("SIGBREAK", stop);
  process.on("SIGHUP", WINDOWS ? stop : reopenLog);
}
