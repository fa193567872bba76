/** Clients that come badly, stay badly or leave badly: the server has to be as it was before. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { type Client, connectClient, withClient } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { request } from "../support/plain-client.ts";
import { startRegears } from "../support/regears.ts";
import { endServersAfterEach, info, startServer } from "./support.ts";
import { until } from "../support/waiting.ts";
import { descriptors, hasProc, pidOf, residentMb, sockets, withoutProc } from "../support/processes.ts";

endServersAfterEach();

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

const PARTIAL = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nthe begin of a long value";
const SCRIPT = request("RG.PYEXECUTE", "GB('ShardsIDReader').run()");

/** How many come and go; `npm run figures` has more of them. */
const VISITORS = Number(process.env.REGEARS_VISITORS ?? 3_000);

/** What clients do before they go; then half of them close and half reset. */
const VISITS: readonly ((socket: Socket) => void)[] = [
  () => {},
  (socket) => socket.write("PING\r\n"),
  (socket) => socket.write(PARTIAL),
  (socket) => socket.write("*1\r\n$4\r\nPI"),
  (socket) => socket.write("SUBSCRIBE channel\r\nBLPOP nothing 0\r\n"),
  (socket) => socket.write("MULTI\r\nSET k v\r\nRG.DUMPEXECUTIONS\r\n"),
  (socket) => socket.write("*1\r\n$x\r\n"),
  (socket) => socket.write("WATCH k\r\nBLPOP nothing 0\r\nPING\r\n"),
];

async function visit(port: number, count: number): Promise<void> {
  const AT_ONCE = 50;
  for (let done = 0; done < count; done += AT_ONCE) {
    const sockets = await Promise.all(Array.from({ length: AT_ONCE }, () => open(port)));
    const closed = sockets.map(
      (socket, i) =>
        new Promise<void>((resolve) => {
          socket.once("close", () => resolve());
          socket.resume();
          VISITS[i % VISITS.length]?.(socket);
          // in turns, so that some are gone before the server has read anything
          const leave = (): void => void (i % 2 === 0 ? socket.destroy() : socket.resetAndDestroy());
          if (i % 3 === 0) leave();
          else setImmediate(leave);
        }),
    );
    await Promise.all(closed);
  }
}

describe.skipIf(!hasProc)(`connections${withoutProc}`, () => {
  it("come and go by the thousand and leave nothing", { timeout: 60_000 + VISITORS * 20 }, async () => {
    const server = await startServer();
    const pid = pidOf(server);
    const client = await connectClient(server.port);
    const settled = (): Promise<unknown> =>
      until(async () => (await info(client, "connected_clients")) <= 1, "only this client is left");
    await visit(server.port, 1_000);
    await settled();
    const [files, memory] = [descriptors(pid), residentMb(pid)];
    await visit(server.port, VISITORS);
    await settled();
    await until(() => descriptors(pid) <= files, "no descriptor is left");
    const grown = residentMb(pid) - memory;
    expect(await client.call("RG.DUMPEXECUTIONS")).toEqual([]);
    // the last of those that had left before they were accepted may just be dealt with
    await until(async () => String(await client.call("PUBSUB", "CHANNELS")) === "", "nobody subscribes");
    expect(server.output()).not.toContain("MaxListenersExceededWarning");
    expect(grown).toBeLessThan(60);
    figure(
      "connections",
      `${VISITORS.toLocaleString("en").replaceAll(",", " ")} clients connect and leave, half of them by a reset, some within a request or while they block`,
      `descriptors ${files} before, ${descriptors(pid)} after; memory ${memory} MB before, ${memory + grown} MB after`,
    );
  });

  it("that are half open hold nobody up", async () => {
    const server = await startServer();
    const pid = pidOf(server);
    const before = sockets(pid);
    const clients = await Promise.all(Array.from({ length: 200 }, () => open(server.port)));
    for (const [i, socket] of clients.entries()) {
      socket.write(PARTIAL);
      // the others end their side and never read
      if (i % 2 === 0) socket.end();
    }
    await withClient(server.port, async (client) => {
      const start = performance.now();
      for (let i = 0; i < 100; i++) expect(await client.call("SET", `k${i}`, "v")).toBe("OK");
      expect(await client.call("RG.PYEXECUTE", "GB().count().run()")).toEqual([["100"], []]);
      expect(performance.now() - start).toBeLessThan(10_000);
    });
    for (const socket of clients) socket.destroy();
    await until(() => sockets(pid) <= before, "no socket is left");
  });
});

/** Clients that leave while they wait. */
describe("a client that leaves while it waits", () => {
  const SLOW = `
import time
def numbers():
    for n in range(8):
        time.sleep(0.1)
        yield n
GB('PythonReader').count().run(numbers)
`;
  const statuses = async (client: Client): Promise<string[]> =>
    ((await client.call("RG.DUMPEXECUTIONS")) as string[][]).map((fields) => String(fields[3]));

  it("for RG.PYEXECUTE leaves the execution, whose result others can wait for", async () => {
    const server = await startServer();
    const client = await connectClient(server.port);
    const leaver = await open(server.port);
    leaver.write(request("RG.PYEXECUTE", SLOW));
    await until(async () => (await statuses(client)).includes("running"), "it runs");
    leaver.resetAndDestroy();
    const [[, id]] = (await client.call("RG.DUMPEXECUTIONS")) as [[string, string]];
    expect(await client.call("RG.GETRESULTSBLOCKING", id)).toEqual([["8"], []]);
    // as with any execution that a client waits for, nothing is kept of it
    await until(async () => (await statuses(client)).length === 0, "it is gone");
  });

  it("for RG.GETRESULTSBLOCKING or RG.TRIGGER takes nothing with it", async () => {
    const server = await startServer();
    const client = await connectClient(server.port);
    const pid = pidOf(server);
    const register = `
import time
def slow(r):
    time.sleep(0.3)
    execute('INCR', 'triggered')
GB('CommandReader').foreach(slow).register(trigger='slow')
`;
    expect(await client.call("RG.PYEXECUTE", register)).toBe("OK");
    const id = String(await client.call("RG.PYEXECUTE", SLOW, "UNBLOCKING"));
    const before = hasProc ? sockets(pid) : 0;
    for (const command of [request("RG.GETRESULTSBLOCKING", id), request("RG.TRIGGER", "slow")])
      for (let i = 0; i < 3; i++) {
        const leaver = await open(server.port);
        // read in one piece: with the PONG the server has the others too
        leaver.write(Buffer.concat([request("PING"), command, SCRIPT]));
        await once(leaver, "data");
        if (i === 0) leaver.end();
        else if (i === 1) leaver.destroy();
        else leaver.resetAndDestroy();
      }
    expect(await client.call("RG.GETRESULTSBLOCKING", id)).toEqual([["8"], []]);
    await until(async () => (await client.call("GET", "triggered")) === "3", "all triggers ran");
    await until(async () => !(await statuses(client)).includes("running"), "nothing runs");
    if (hasProc) await until(() => sockets(pid) <= before, "no socket is left");
  });
});

describe("a client that leaves while another monitors", () => {
  it("is forgotten: who then holds the engine does not wait for it", async () => {
    const server = await startRegears();
    try {
      const answered = async (words: string): Promise<Socket> => {
        const socket = await open(server.port);
        socket.write(words);
        await once(socket, "data");
        return socket;
      };
      const monitor = await answered("MONITOR\r\n");
      for (let i = 0; i < 3; i++) {
        const leaving = await answered("PING\r\n");
        leaving.end();
        await once(leaving, "close");
      }
      const client = await connectClient(server.port);
      // an atomic() block begins when all that was sent to the engine is carried out
      expect(await client.call("RG.PYEXECUTE", "with atomic():\n    execute('SET', 'k', 'v')")).toBe("OK");
      client.close();
      monitor.destroy();
    } finally {
      await server.stop("SIGKILL");
    }
  });
});

describe("500 clients at once", () => {
  it("are all answered, each with its own result", { timeout: 60_000 }, async () => {
    const server = await startServer();
    const clients = await Promise.all(Array.from({ length: 500 }, () => connectClient(server.port)));
    const start = performance.now();
    const replies = await Promise.all(
      clients.map((client, i) =>
        client.call("RG.PYEXECUTE", `GB('ShardsIDReader').map(lambda r: ${i} * int(r)).run()`),
      ),
    );
    const took = performance.now() - start;
    expect(replies).toEqual(clients.map((_, i) => [[String(i)], []]));
    figure(
      "clients",
      "500 clients each run a script at the same time",
      `all answered rightly in ${Math.round(took)} ms`,
    );
    for (const client of clients) client.close();
  });
});
