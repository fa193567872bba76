/** Recursion inside the embedded engine that takes more stack than there is. */
import { describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { endServersAfterEach, startServer } from "./support.ts";

endServersAfterEach();

describe("a Lua script that exhausts the stack", () => {
  it("ends the server with a reason and a failure's code", async () => {
    const server = await startServer();
    const client = await connectClient(server.port);
    const pattern = "return string.match(string.rep('a', 200000), string.rep('a?', 200000))";
    await expect(client.call("EVAL", pattern, "0")).rejects.toThrow(/engine is not reachable|closed/);
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain("a script needed more stack than there is");
  });
});
