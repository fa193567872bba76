/** Signals that ask a command of the program to end. */
import { constants } from "node:os";

/** Ctrl-C, whoever manages the process, a terminal that is closed. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The exit status of what a signal has ended, in the way of shells. */
export const statusOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** The program is deaf to this signal by itself, for a server takes it for something else. */
const hangUp = (): never => process.exit(statusOf("SIGHUP"));

/** From now on a terminal that is closed ends the program, but {@link whileTold somebody who is told of it}. */
export function endWithTerminal(): void {
  process.on("SIGHUP", hangUp);
}

/** Does something, and is told meanwhile of signals, which end nothing by themselves then. */
export async function whileTold<T>(told: (signal: NodeJS.Signals) => void, act: () => Promise<T>): Promise<T> {
  for (const signal of ENDING) process.on(signal, told);
  process.off("SIGHUP", hangUp);
  try {
    return await act();
  } finally {
    for (const signal of ENDING) process.off(signal, told);
    endWithTerminal();
  }
}
