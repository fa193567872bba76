/** A thread that uses the engine by itself, as an interpreter's does: it does what it is told until it is ended. */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { AttachedEngine } from "../../dist/engine/attached.js";
import { encodeCommand } from "../../dist/engine/encode.js";
import { EngineLock } from "../../dist/engine/shared-memory.js";

const { share, maxReply, port, counters } = workerData;
const engine = new AttachedEngine(share, maxReply);

const run = (command) => {
  const outcome = engine.execute(encodeCommand(command));
  return typeof outcome === "string"
    ? outcome
    : { reply: outcome.reply.toString("latin1"), othersWait: outcome.othersWait };
};

for (;;) {
  const message = receiveMessageOnPort(port)?.message;
  if (message === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    continue;
  }
  const { kind, commands, times } = message;
  if (kind === "run") parentPort.postMessage(commands.map(run));
  else if (kind === "die inside") {
    new EngineLock(share.words, share.thread).take();
    process.exit(1);
  } else {
    // each round is one of a script's: what was begun is counted before, what was done after
    for (let round = 0; round < times; round++) {
      Atomics.add(counters, 0, 1);
      const outcomes = commands.map((command) => engine.execute(encodeCommand(command)));
      if (outcomes.every((outcome) => typeof outcome !== "string")) Atomics.add(counters, 1, 1);
    }
    parentPort.postMessage("done");
  }
}
