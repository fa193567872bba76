/** Processor time, for what has to take its time in proportion to its input however busy the machine is. */

/** @returns the milliseconds of processor time that this process, all its threads, spent meanwhile */
export function cpuMs(run: () => void): number {
  const begin = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}
