/** Signals that ask a command of the program to end. */
import { constants } from "node:os";

/** Ctrl-C, whoever manages the process, a terminal that is closed. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The exit status of what a signal has ended, in the way of shells. */
export const statusOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** Does something, and is told meanwhile of signals, which end nothing by themselves then. */
export async function whileTold<T>(told: (signal: NodeJS.Signals) => void, act: () => Promise<T>): Promise<T> {
  for (const signal of ENDING) process.on(signal, told);
  try {
    return await act();
  } finally {
    for (const signal of ENDING) process.off(signal, told);
  }
}
