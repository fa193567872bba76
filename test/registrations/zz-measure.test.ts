import { it } from "vitest";
import { createWorld } from "./set-up.ts";
it("measure", async () => {
  const world = await createWorld();
  world.register({ prefix: "k:*", mode: "async_local" }, async ({ task }) => void (await world.execute(task.owner, "INCR", "count")));
  for (let r = 0; r < 4; r++) {
    const t = performance.now();
    await world.admin.pipeline(Array.from({ length: 5000 }, (_, i) => ["SET", `k:${i}`, "v"]));
    const t1 = performance.now();
    await world.idle();
    console.log("sets", (t1 - t).toFixed(0), "all", (performance.now() - t).toFixed(0));
  }
  world.host.busy = true;
  const used = () => { (globalThis as { gc?: () => void }).gc?.(); return process.memoryUsage().heapUsed; };
  const commands = Array.from({ length: 10000 }, (_, i) => ["SET", `k:some-key:${i}`, "v"]);
  await world.admin.pipeline(commands);
  const before = used(); const t = performance.now();
  for (let r = 0; r < 10; r++) await world.admin.pipeline(commands);
  console.log("100k waiting:", ((used() - before) / 100000).toFixed(0), "bytes each", (performance.now() - t).toFixed(0), "ms", world.starter.waiting);
  const t2 = performance.now();
  world.host.resume();
  await world.idle();
  console.log("worked off in", (performance.now() - t2).toFixed(0), "ms");
  await world.close();
}, 60000);
