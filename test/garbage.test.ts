/** The function that collects garbage, in threads that all want it at once. */
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";

const THREADS = 8;
const TIMES = 30;

it("is had by many threads at once, as interpreters are that start together", async () => {
  // threads run what is compiled
  const compiled = new URL("../dist/garbage.js", import.meta.url).href;
  const code = `
    import(${JSON.stringify(compiled)}).then(({ garbageCollector }) => {
      let collectors = 0;
      for (let n = 0; n < ${TIMES}; n++) if (typeof garbageCollector() === "function") collectors++;
      require("node:worker_threads").parentPort.postMessage(collectors);
    });`;
  const threads = Array.from(
    { length: THREADS },
    () =>
      new Promise((resolve, reject) => {
        new Worker(code, { eval: true }).once("message", resolve).once("error", reject);
      }),
  );
  expect(await Promise.all(threads)).toEqual(Array(THREADS).fill(TIMES));
});
