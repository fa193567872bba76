/** The thread in which a copy of the engine works. It waits for one job, does it, and ends. */
import * as fs from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { runForked } from "./forked-engine.ts";
import type { ChildStart, CopyJob, Told } from "./copy-job.ts";

const start = workerData as ChildStart;
const tell = (message: Told): void => parentPort?.postMessage(message);

parentPort?.once("message", (job: CopyJob) => {
  const onOutput = (output: string): void => tell({ output });
  const reason = runForked({ ...start, calls: fs, onOutput }, job);
  tell(reason === undefined ? { done: true } : { done: false, reason });
});
