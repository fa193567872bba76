import { expect, it } from "vitest";
import { deadline } from "../../src/engine/deadline.ts";

const work = (ms: number): void => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};

it("a deadline passes, unless it is taken away", async () => {
  const passed: string[] = [];
  deadline(20, () => passed.push("first"));
  deadline(10, () => passed.push("never"))();
  await expect.poll(() => passed).toEqual(["first"]);
});

it("time in which the thread could read no answer does not count", async () => {
  let late = false;
  deadline(100, () => {
    late = true;
  });
  work(300);
  // the timer is due, and what has come in meanwhile is read in the same turn
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(late).toBe(false);
  await expect.poll(() => late).toBe(true);
});
