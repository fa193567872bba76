/** Clients that come and go, read slowly, send nonsense or too much; engines that are not there; stopping. */
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import type { Engine, EngineConnection } from "../../src/engine/engine.ts";
import { status } from "../../src/resp/reply.ts";
import { describeEachEngine } from "../support/engines.ts";
import { newFolder } from "../support/folders.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { wayOf } from "../support/path.ts";
import { connectPlain, request } from "../support/plain-client.ts";
import { TcpEngine } from "../support/tcp-engine.ts";
import { freePort } from "../support/ports.ts";

/** Counts the connections that are open on any engine. */
function counting(engine: Engine): Engine & { open: number } {
  const counted = {
    description: engine.description,
    embedded: engine.embedded,
    onStateChange: () => {},
    open: 0,
    start: () => engine.start(),
    stop: () => engine.stop(),
    connect(): EngineConnection {
      const connection = engine.connect();
      counted.open++;
      const close = connection.close.bind(connection);
      let onClose: EngineConnection["onClose"] = () => {};
      let open = true;
      const gone = (): void => {
        if (open) counted.open--;
        open = false;
      };
      connection.close = () => {
        gone();
        close();
      };
      Object.defineProperty(connection, "onClose", {
        get: () => (reason?: Error) => {
          gone();
          onClose(reason);
        },
        set: (value: EngineConnection["onClose"]) => {
          onClose = value;
        },
      });
      return connection;
    },
  };
  return counted;
}

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function embedded(
  more: Parameters<typeof startGateway>[1] = {},
): Promise<TestGateway & { engine: Engine & { open: number } }> {
  const engine = counting(new EmbeddedEngine());
  await engine.start();
  stops.push(() => engine.stop());
  const gateway = await startGateway(engine, more);
  stops.push(() => gateway.stop());
  return { ...gateway, engine };
}

describeEachEngine("clients", (gateway) => {
  it.each([
    ["*1\r\nfoo\r\n", "expected '$', got 'f'"],
    ["*x\r\n", "invalid multibulk length"],
    ["ECHO 'a\r\n", "unbalanced quotes in request"],
  ])("that send %j get the replies they are owed, the error, and the end", async (nonsense, text) => {
    const client = await gateway().connect();
    client.write(`PING\r\nRG.LATER x\r\nECHO a\r\n${nonsense}PING\r\n`);
    expect(await client.readToEnd()).toBe(`+PONG\r\n$1\r\nx\r\n$1\r\na\r\n-ERR Protocol error: ${text}\r\n`);
  });

  it("that send QUIT get OK and the end", async () => {
    const client = await gateway().connect();
    client.write("RG.ECHO x\r\nQUIT\r\nPING\r\n");
    expect(await client.readToEnd()).toBe("$1\r\nx\r\n+OK\r\n");
  });

  it("that are killed have their end", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("CLIENT ID\r\n");
    await client.until(() => client.pending.endsWith("\r\n"));
    const id = client.pending.slice(1, -2);
    client.write("RG.WAIT\r\n");
    await expect.poll(() => gateway().gears.waiting.length).toBe(1);
    const aborted = gateway().gears.aborted;
    other.write(`CLIENT KILL ID ${id}\r\n`);
    await other.expect(":1\r\n");
    await client.readToEnd();
    await expect.poll(() => gateway().gears.aborted).toBe(aborted + 1);
    gateway().gears.waiting.pop();
  });

  it("that stop sending still get what they asked for", async () => {
    const client = await gateway().connect();
    client.socket.end("PING\r\nRG.LATER x\r\nPING\r\n");
    expect(await client.readToEnd()).toBe("+PONG\r\n$1\r\nx\r\n+PONG\r\n");
  });

  it("that leave while blocked take nothing with them", async () => {
    const { connect, gears, listener } = gateway();
    await expect.poll(() => listener.clients).toBeLessThan(20);
    const client = await connect();
    const waiting = await connect();
    const other = await connect();
    const clients = listener.clients;
    client.write("BLPOP gone 0\r\n");
    waiting.write("RG.WAIT\r\nPING\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    const aborted = gears.aborted;
    other.write("PING\r\n");
    await other.expect("+PONG\r\n");
    client.destroy();
    waiting.destroy();
    await expect.poll(() => listener.clients).toBe(clients - 2);
    await expect.poll(() => gears.aborted).toBe(aborted + 1);
    gears.waiting.pop();
    other.write("RPUSH gone v\r\nLLEN gone\r\n");
    await other.expect(":1\r\n:1\r\n");
  });

  it("that only stopped sending do not stay blocked", async () => {
    const client = await gateway().connect();
    const clients = gateway().listener.clients;
    client.socket.end("BLPOP never 0\r\n");
    await expect.poll(() => gateway().listener.clients).toBeLessThan(clients);
  });
});

describe("limits", () => {
  it("1000 clients that come and go leave nothing", async () => {
    const { listener, engine, gears, log } = await embedded();
    for (let round = 0; round < 20; round++) {
      const clients = await Promise.all(Array.from({ length: 50 }, () => connectPlain(listener.port)));
      for (const [index, client] of clients.entries()) {
        client.write(
          ["PING\r\n", "RG.WAIT\r\n", "BLPOP x 0\r\n", "", "MULTI\r\nRG.ECHO x\r\nGET a\r\n"][index % 5] ?? "",
        );
      }
      await clients[0]?.expect("+PONG\r\n");
      await expect.poll(() => gears.waiting.length).toBe(10);
      gears.waiting.length = 0;
      for (const client of clients) client.destroy();
    }
    await expect.poll(() => listener.clients).toBe(0);
    await expect.poll(() => engine.open).toBe(0);
    expect(gears.aborted).toBe(200);
    expect(log.lines).toEqual([]);
  }, 20_000);

  it("idle clients have no engine connection", async () => {
    const { connect, engine, listener } = await embedded();
    for (let count = 0; count < 50; count++) await connect();
    await expect.poll(() => listener.clients).toBe(50);
    expect(engine.open).toBe(0);
  });

  it("refuses more clients than maxClients", async () => {
    const { connect } = await embedded((commands) => wayOf(commands, true, 2));
    const first = await connect();
    await connect();
    const third = await connect();
    expect(await third.readToEnd()).toBe("-ERR max number of clients reached\r\n");
    first.write("PING\r\n");
    await first.expect("+PONG\r\n");
    first.destroy();
    await expect
      .poll(async () => {
        const next = await connect();
        next.write("PING\r\n");
        return (await next.read(5).catch(() => "")) === "+PONG";
      })
      .toBe(true);
  });

  it("takes another limit from CONFIG SET, for clients and not for the server's own connections", async () => {
    const { connect } = await embedded((commands) => wayOf(commands, true, 1));
    const first = await connect();
    first.write("CONFIG SET maxclients 2\r\nCONFIG GET maxclients\r\n");
    await first.expect("+OK\r\n*2\r\n$10\r\nmaxclients\r\n$1\r\n2\r\n");
    const second = await connect();
    second.write("PING\r\nCONFIG SET maxclients 1\r\nCONFIG SET maxclients x\r\nRG.ECHO y\r\n");
    await second.until(() => second.pending.endsWith("$1\r\ny\r\n"));
    expect(second.pending).toMatch(/^\+PONG\r\n\+OK\r\n-ERR CONFIG SET failed [^\r]*'maxclients'/);
    expect(await (await connect()).readToEnd()).toBe("-ERR max number of clients reached\r\n");
    first.write("PING\r\n");
    await first.expect("+PONG\r\n");
  });

  it("does not let the engine in this process become a replica, which it could not be", async () => {
    const { connect } = await embedded();
    const client = await connect();
    client.write("REPLICAOF 127.0.0.1 1\r\nslaveof a b\r\nSET still 1\r\n");
    const refused = "-ERR replication is not available through this server\r\n";
    await client.expect(`${refused.repeat(2)}+OK\r\n`);
    client.write("MULTI\r\nREPLICAOF 127.0.0.1 1\r\nEXEC\r\nDEL still\r\n");
    await client.until(() => client.pending.endsWith(":1\r\n"));
    expect(client.pending).toContain("-EXECABORT");
  });

  it("disconnects a client whose request is too big", async () => {
    const { connect, log } = await embedded({ limits: { maxBuffer: 100_000 } });
    const client = await connect();
    client.write(request("SET", "a", "b".repeat(300_000)));
    expect(await client.readToEnd()).toBe("");
    expect(log.lines).toEqual(["a client whose request is too big was disconnected"]);
  });

  it("a slow reader slows its engine connection down and nobody else", async () => {
    const { connect, engine, gears } = await embedded();
    const slow = await connect();
    const value = "v".repeat(100_000);
    slow.send("SET", "slow", value);
    await slow.expect("+OK\r\n");
    slow.socket.pause();
    let paused = false;
    const connectToEngine = engine.connect.bind(engine);
    engine.connect = () => {
      const connection = connectToEngine();
      const pause = connection.pause.bind(connection);
      connection.pause = () => {
        paused = true;
        pause();
      };
      return connection;
    };
    const reader = await connect();
    reader.socket.pause();
    for (let count = 0; count < 200; count++) reader.write("GET slow\r\n");
    reader.write("RG.ECHO x\r\n");
    await expect.poll(() => paused).toBe(true);
    const other = await connect();
    other.write("PING\r\nRG.ECHO y\r\n");
    await other.expect("+PONG\r\n$1\r\ny\r\n");
    expect(gears.calls).toEqual(["echo client"]);
    reader.socket.resume();
    const all = 200 * (value.length + 11);
    await reader.until(() => reader.bytesReceived === all + 7, 10_000);
    expect(reader.pending.endsWith("$1\r\nx\r\n")).toBe(true);
  }, 20_000);

  it("disconnects a client that leaves too much unread", async () => {
    const { connect, listener, log } = await embedded({ limits: { maxOutput: 2_000_000 } });
    const client = await connect();
    client.socket.pause();
    client.write(request("RG.ECHO", "x".repeat(3_000_000)));
    await expect.poll(() => listener.clients).toBe(0);
    expect(log.lines).toEqual(["a client that does not read its replies was disconnected"]);
  });

  it("stops reading a client that sends on while it has to wait", async () => {
    const { connect, gears } = await embedded();
    const client = await connect();
    const command = request("SET", "a", "b".repeat(10_000));
    client.write("RG.WAIT\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    for (let count = 0; count < 3000; count++) client.write(command);
    // another one sends as much in the meantime
    const other = await connect();
    for (let count = 0; count < 3000; count++) other.write(command);
    await other.until(() => other.bytesReceived === 5 * 3000);
    // Far less than the 30 MB that were sent has been taken in; the rest waits on the client's side.
    expect(client.socket.writableLength).toBeGreaterThan(10_000_000);
    gears.waiting.pop()?.release(status("done"));
    await client.until(() => client.bytesReceived === 7 + 5 * 3000, 10_000);
  }, 20_000);
});

describe("the engine by network", () => {
  it("that is not there is told, and is used as soon as it is", async () => {
    const port = await freePort();
    const server = createServer((socket) => socket.on("data", () => socket.write("+HERE\r\n")));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    const engine = new TcpEngine(port);
    const gateway = await startGateway(engine);
    stops.push(() => gateway.stop());
    const client = await gateway.connect();
    const down = "-ERR engine is not reachable\r\n";
    client.write("GET a\r\nRG.ECHO x\r\nINFO\r\n");
    await client.expect(down.repeat(3));
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    client.write("GET a\r\n");
    await client.expect("+HERE\r\n");
  });

  it("that goes away ends the clients it had answered, with their replies", async () => {
    const port = await freePort();
    const server = createServer((socket) => {
      let commands = 0;
      socket.on("data", () => {
        if (commands++ === 0) socket.write("+OK\r\n");
        else socket.resetAndDestroy();
      });
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    const gateway = await startGateway(new TcpEngine(port));
    stops.push(() => gateway.stop());
    const client = await gateway.connect();
    client.write("SET a 1\r\n");
    await client.expect("+OK\r\n");
    client.write("GET a\r\nGET b\r\n");
    expect(await client.readToEnd()).toBe("-ERR engine is not reachable\r\n".repeat(2));
  });

  it("that sends no RESP ends the client, with a line in the log", async () => {
    const server = createServer((socket) => socket.on("data", () => socket.write("HTTP/1.1 400\r\n")));
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    const gateway = await startGateway(new TcpEngine(port));
    stops.push(() => gateway.stop());
    const client = await gateway.connect();
    client.write("GET a\r\n");
    expect(await client.readToEnd()).toBe("");
    expect(gateway.log.lines.join()).toContain("the engine's reply can not be read: FrameError");
  });
});

describe("the listener", () => {
  it("lets replies finish when it closes", async () => {
    const { connect, listener, gears } = await embedded();
    const idle = await connect();
    const client = await connect();
    client.write("RG.WAIT\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    const closing = listener.close();
    expect(await idle.readToEnd()).toBe("");
    await expect(connectPlain(listener.port)).rejects.toThrow("ECONNREFUSED");
    gears.waiting.pop()?.release(status("done"));
    expect(await client.readToEnd()).toBe("+done\r\n");
    await closing;
    expect(listener.clients).toBe(0);
  });

  it("does not wait for ever when it closes", async () => {
    const { connect, listener, gears } = await embedded();
    const client = await connect();
    client.write("BLPOP x 0\r\n");
    const other = await connect();
    other.write("RG.WAIT\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    await listener.close(50);
    expect(await client.readToEnd()).toBe("");
    expect(listener.clients).toBe(0);
    expect(gears.aborted).toBe(1);
  });

  it("has carried out what came before its client closed its side, though somebody holds the engine", async () => {
    const { connect, gate } = await embedded({ limits: { lingerMs: 20_000 } });
    const holder = {};
    await gate.hold(holder);
    const client = await connect();
    client.socket.end("SET k v\r\n");
    const other = await connect();
    // control passes the gate, and shows that the first client's bytes were read before
    other.write("PING\r\n");
    await other.expect("+PONG\r\n");
    gate.release(holder);
    expect(await client.readToEnd()).toBe("+OK\r\n");
    other.write("GET k\r\n");
    await other.expect("$1\r\nv\r\n");
  });

  it("listens on a unix socket, replacing one that was left behind, but no other file", async () => {
    const folder = newFolder();
    const path = join(folder, "socket");
    const engine = new EmbeddedEngine();
    await engine.start();
    stops.push(() => engine.stop());
    const { commands, gate, log } = await startGateway(engine);
    const { Listener } = await import("../../src/gateway/listener.ts");
    const deps = () => ({ engine, commands, gate, log, ...wayOf(commands, true) });
    const first = new Listener({ unixSocket: path }, deps());
    await first.listen();
    const second = new Listener({ unixSocket: path, port: 0, bind: ["127.0.0.1"] }, deps());
    await second.listen();
    const client = await connectPlain(path);
    client.write("RG.ECHO unix\r\n");
    await client.expect("$4\r\nunix\r\n");
    expect(second.clients).toBe(1);
    client.destroy();
    await second.close();
    await first.close();
    writeFileSync(join(folder, "file"), "precious");
    await expect(new Listener({ unixSocket: join(folder, "file") }, deps()).listen()).rejects.toThrow("EADDRINUSE");
    expect(existsSync(join(folder, "file"))).toBe(true);
  });

  it("tells when its port is taken", async () => {
    const { listener, engine, commands, gate, log } = await embedded();
    const { Listener } = await import("../../src/gateway/listener.ts");
    const deps = { engine, commands, gate, log, ...wayOf(commands, true) };
    const second = new Listener({ port: listener.port }, deps);
    await expect(second.listen()).rejects.toThrow("EADDRINUSE");
  });
});
