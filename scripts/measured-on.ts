/** Where and when figures were measured. */
import { cpus, loadavg } from "node:os";

/** One line: the machine, what else it did, the day. @param others programs that took part, with their versions */
export function measuredOn(...others: readonly string[]): string {
  const [first] = cpus();
  const machine = `${cpus().length} × ${first?.model.trim() ?? "a processor"}`;
  const load = `load ${loadavg()[0]?.toFixed(1)} before`;
  return [machine, load, `Node.js ${process.versions.node}`, ...others, new Date().toISOString().slice(0, 10)].join(
    ", ",
  );
}
