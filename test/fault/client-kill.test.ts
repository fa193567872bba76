/** CLIENT KILL of all connections, the server's own among them, which it opens again. */
import { describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { until } from "../support/waiting.ts";
import { endServersAfterEach, startServer } from "./support.ts";

endServersAfterEach();

const counts = (key: string, mode: string): string =>
  `GB('KeysReader').foreach(lambda r: execute('INCR', '${key}')).register(prefix='k*', mode='${mode}')`;
const trigger = (name: string): string => `GB('CommandReader').map(lambda r: 'yes').register(trigger='${name}')`;

describe("a server whose connections are all killed", { timeout: 120_000 }, () => {
  it.each([
    ["SKIPME", "no"],
    ["TYPE", "normal", "SKIPME", "no"],
    ["USER", "regears", "SKIPME", "no"],
  ])("by CLIENT KILL %s %s goes on, registers and keeps", async (...filter) => {
    const server = await startServer(["--appendonly", "yes"]);
    const first = await connectClient(server.port);
    for (const script of [counts("async", "async"), counts("sync", "sync"), trigger("before")])
      expect(await first.call("RG.PYEXECUTE", script)).toBe("OK");
    await first.call("SET", "k1", "1");
    await until(async () => (await first.call("GET", "async")) === "1", "the event is dealt with");
    // its own connection may be closed before the reply
    await first.call("CLIENT", "KILL", ...filter.filter((word) => word !== undefined)).catch(() => {});
    first.close();

    const second = await connectClient(server.port);
    expect(await second.call("RG.PYEXECUTE", trigger("after"))).toBe("OK");
    expect(await second.call("RG.TRIGGER", "before")).toEqual(["yes"]);
    expect(await second.call("RG.TRIGGER", "after")).toEqual(["yes"]);
    await until(async () => {
      await second.call("SET", "k2", "1");
      return Number(await second.call("GET", "async")) > 1 && Number(await second.call("GET", "sync")) > 1;
    }, "events are told again");
    second.close();
    expect(await server.stop()).toBe(0);
  });
});
