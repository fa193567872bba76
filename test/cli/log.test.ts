/** The log on standard output: nobody who reads it slowly, or not at all, keeps the server from its work. */
import { expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { runRegears } from "../support/regears.ts";
import { freePort } from "../support/ports.ts";

it("a log that nobody reads does not hold the server; what is logged later is there", async () => {
  const port = await freePort();
  const { child, exited, output } = runRegears(["--port", String(port)]);
  await expect.poll(output, { timeout: 60_000 }).toContain("Ready to accept connections");
  child.stdout.pause();
  const client = await connectClient(port);
  const other = await connectClient(port);
  // with a write that waits for its reader this would take minutes
  const logged = client.call("RG.PYEXECUTE", "for i in range(2_000): log('x' * 1_000)");
  let done = false;
  void logged.finally(() => {
    done = true;
  });
  let slowest = 0;
  while (!done) {
    const sent = performance.now();
    await other.call("PING");
    slowest = Math.max(slowest, performance.now() - sent);
  }
  expect(await logged).toBe("OK");
  expect(slowest).toBeLessThan(2_000);
  child.stdout.resume();
  await expect
    .poll(async () => {
      await client.call("RG.PYEXECUTE", "log('the last line')");
      return output();
    })
    .toContain("the last line");
  // what the end of the server says waits for nobody either
  child.stdout.pause();
  await client.call("RG.PYEXECUTE", "for i in range(2_000): log('y' * 1_000)");
  const began = performance.now();
  child.kill("SIGTERM");
  await new Promise((resolve) => child.once("exit", resolve));
  expect(performance.now() - began).toBeLessThan(10_000);
  child.stdout.resume();
  await exited;
  other.close();
  client.close();
});
