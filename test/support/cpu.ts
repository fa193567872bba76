/** Processor time, for what has to take its time in proportion to its input however busy the machine is. */

/**
 * @returns the milliseconds of processor time that this process, all its threads, spent meanwhile; without the time of the
 * system, whose paging is another matter
 */
export function cpuMs(run: () => void): number {
  const begin = process.cpuUsage();
  run();
  return process.cpuUsage(begin).user / 1000;
}
