/** Recursion inside the embedded engine that takes more stack than there is. */
import { describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { endServersAfterEach, startServer } from "./support.ts";

endServersAfterEach();

/** As many optional letters as the pattern has, each of which takes a frame in C. */
const recursion = (depth: number): string =>
  `return #string.match(string.rep('a', ${depth}), string.rep('a?', ${depth}))`;
const LARGE_STACK = process.platform === "linux" && "execve" in process;

describe("a Lua script that exhausts the stack", () => {
  it("ends the server with a reason and a failure's code", async () => {
    const server = await startServer();
    const client = await connectClient(server.port);
    await expect(client.call("EVAL", recursion(200_000), "0")).rejects.toThrow(/engine is not reachable|closed/);
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain("a script needed more stack than there is");
  });

  it.skipIf(!LARGE_STACK)(
    `has all of it${LARGE_STACK ? "" : ": this Node.js can not replace its process"}`,
    async () => {
      const server = await startServer();
      const client = await connectClient(server.port);
      expect(await client.call("EVAL", recursion(15_000), "0")).toBe(15_000);
      client.close();
      // signals reach it, and its exit code its parent
      expect(await server.stop()).toBe(0);
    },
  );
});
