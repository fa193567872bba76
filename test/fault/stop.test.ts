/** The end of a server that is asked to end. */
import { describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { endServersAfterEach, info, startServer } from "./support.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

endServersAfterEach();

describe("SIGTERM", () => {
  it("under load ends the server cleanly", async () => {
    const server = await startServer();
    const register = "GB('KeysReader').foreach(lambda r: execute('INCR', 'n')).register('key:*')";
    const endless = "GB('CommandReader').foreach(lambda r: execute('PING')).register(trigger='ping')";
    const [client, other] = [await connectClient(server.port), await connectClient(server.port)];
    const id = String(await other.call("RG.PYEXECUTE", "while True: pass", "UNBLOCKING"));
    // so that the registrations come to another interpreter: in this one nothing else would ever run
    await until(async () => String(await client.call("RG.DUMPEXECUTIONS")).includes(`${id},status,running`), "it runs");
    await client.call("RG.PYEXECUTE", register);
    await client.call("RG.PYEXECUTE", endless);
    const writers = await Promise.all(Array.from({ length: 20 }, () => connectClient(server.port)));
    let replies = 0;
    const load = writers.map(async (writer, i) => {
      const commands = [
        ["SET", `key:${i}`, "v"],
        ["RG.TRIGGER", "ping"],
        ["RG.PYEXECUTE", "GB().count().run()"],
        ["BLPOP", "no", "0.01"],
      ];
      for (let n = i; ; n++) {
        await writer.call(...(commands[n % commands.length] ?? ["PING"]));
        replies++;
      }
    });
    const ends = Promise.all(load.map((writer) => writer.catch((error: Error) => error.message)));
    await until(() => replies > 200, "there is load");
    const start = performance.now();
    expect(await server.stop("SIGTERM")).toBe(0);
    expect(performance.now() - start).toBeLessThan(10_000);
    // a client sees a reply or the end, never half a reply or a hang
    for (const end of await ends) expect(end).toMatch(/closed|ERR|abort|forcestopped/i);
    expect(server.output()).not.toMatch(/"level":"(error|fatal)"|unhandled/i);
  });

  it("ends it though clients block and do not read", async () => {
    const server = await startServer();
    const clients = await Promise.all(Array.from({ length: 5 }, () => connectClient(server.port)));
    const closed = clients.map((client) => errorOf(client.call("BLPOP", "nothing", "0")));
    const observer = await connectClient(server.port);
    await until(async () => (await info(observer, "blocked_clients")) === clients.length, "all block");
    expect(await server.stop("SIGTERM")).toBe(0);
    expect(await Promise.all(closed)).toEqual(clients.map(() => expect.stringMatching(/closed|UNBLOCKED|ERR/)));
  });
});
