/** A thread that uses the engine by itself, as an interpreter's does: it does what it is told until it is ended. */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { AttachedEngine } from "../../dist/engine/attached-engine.js";
import { encodeCommand } from "../../dist/engine/encode.js";
import { EngineLock } from "../../dist/engine/shared-memory.js";

const { share, maxReply, port, counters } = workerData;
const engine = new AttachedEngine(share, maxReply);

const execute = (command) => {
  const request = encodeCommand(command);
  return engine.execute(request, request.length, 0);
};

const run = (command) => {
  const outcome = execute(command);
  return outcome === "replied"
    ? { reply: engine.reply.toString("latin1", 0, engine.replySize), othersWait: engine.othersWait }
    : outcome;
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
      const outcomes = commands.map(execute);
      if (outcomes.every((outcome) => outcome === "replied")) Atomics.add(counters, 1, 1);
    }
    parentPort.postMessage("done");
  }
}
