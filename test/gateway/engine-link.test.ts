/** A client has one connection to the engine; when that has ended nothing is asked on another one. */
import { createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Engine, EngineConnection } from "../../src/engine/engine.ts";
import { ClientState } from "../../src/gateway/client-state.ts";
import { DOWN } from "../../src/engine/engine.ts";
import { EngineLink } from "../../src/gateway/engine-link.ts";
import { Replies } from "../../src/gateway/replies.ts";
import { StagedTransaction } from "../../src/gateway/transaction.ts";
import { encodeCommand } from "../../src/engine/encode.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { status } from "../../src/resp/reply.ts";
import { TcpEngine } from "../support/tcp-engine.ts";
import { freePort } from "../support/ports.ts";

const PING = encodeCommand(["PING"]);

class FakeConnection implements EngineConnection {
  onData: (bytes: Buffer) => void = () => {};
  onDrain: () => void = () => {};
  onClose: (reason?: Error) => void = () => {};
  written = 0;
  paused = false;
  open = true;

  write(): boolean {
    this.written++;
    return true;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  close(): void {
    this.open = false;
  }
}

function setUp() {
  const connections: FakeConnection[] = [];
  const engine = {
    connect: () => {
      const connection = new FakeConnection();
      connections.push(connection);
      return connection;
    },
  } as unknown as Engine;
  const state = new ClientState();
  const told: string[] = [];
  const sent: string[] = [];
  const replies = new Replies(state, {
    send: (bytes) => void sent.push(String(bytes)),
    settled: () => {},
    shownLine: (line) => line,
  });
  const link = new EngineLink(
    engine,
    replies,
    { peer: "", local: "" },
    {
      onDrain: () => {},
      onEnd: () => void told.push("end"),
      onLost: () => void told.push("lost"),
      onRefused: () => void told.push("refused"),
      onBroken: () => void told.push("broken"),
    },
  );
  return { engine, state, replies, link, connections, told, sent };
}

describe("a client's connection to the engine", () => {
  it.each<[string, (link: EngineLink, connection: FakeConnection) => void, string[]]>([
    ["was closed", (link) => link.close(), []],
    ["was ended by the engine", (_link, connection) => connection.onClose(), ["end"]],
    ["was lost", (_link, connection) => connection.onClose(new Error("gone")), ["lost"]],
  ])("that %s fails what waits and what asks later, and is not opened again", async (_how, end, told) => {
    const { link, connections, ...rest } = setUp();
    const first = link.ask(PING, 1);
    connections[0]?.onData(Buffer.from("+PONG\r\n"));
    expect(String(await first)).toBe("+PONG\r\n");
    const waiting = link.ask(PING, 1);
    end(link, connections[0] as FakeConnection);
    await expect(waiting).rejects.toBe(DOWN);
    await expect(link.ask(PING, 1)).rejects.toBe(DOWN);
    rest.replies.expect();
    link.send(PING);
    expect(rest.replies.empty).toBe(true);
    expect([link.over, connections.length, rest.told]).toEqual([true, 1, told]);
  });

  it("is opened again if it was never there, unless later commands rely on what was sent", () => {
    const { link, replies, connections, told, sent } = setUp();
    replies.expect();
    link.send(PING);
    connections[0]?.onClose(new Error("not there"));
    expect([told, link.over]).toEqual([["refused"], false]);
    replies.expect();
    link.commit();
    link.send(PING);
    connections[1]?.onClose(new Error("not there"));
    expect([told, link.over]).toEqual([["refused", "lost"], true]);
    expect(sent).toEqual(["-ERR engine is not reachable\r\n", "-ERR engine is not reachable\r\n"]);
  });

  it("stays for what has to go to its end, and is closed then", async () => {
    const { link, connections } = setUp();
    let goOn = (): void => {};
    const job = link.toItsEnd(async () => {
      await new Promise<void>((resolve) => (goOn = resolve));
      const reply = link.ask(PING, 1);
      connections[0]?.onData(Buffer.from("+PONG\r\n"));
      return String(await reply);
    });
    link.close();
    goOn();
    expect(await job).toBe("+PONG\r\n");
    expect([link.over, connections[0]?.open]).toEqual([true, false]);
  });

  it("gives urgent replies while the client does not read", async () => {
    const { link, connections } = setUp();
    link.pause();
    const asked = link.ask(PING, 1);
    const [connection] = connections as [FakeConnection];
    expect(connection.paused).toBe(true);
    const urgent = link.askUrgently(PING, 1);
    expect(connection.paused).toBe(false);
    connection.onData(Buffer.from("+PONG\r\n+PONG\r\n"));
    await Promise.all([asked, urgent]);
    expect(connection.paused).toBe(true);
    link.resume();
    expect(connection.paused).toBe(false);
  });
});

describe("a staged transaction that was discarded", () => {
  it("opens no twin, whatever still comes", async () => {
    const { engine, state, connections } = setUp();
    const staged = new StagedTransaction(engine, state);
    staged.discard();
    await expect(staged.keep(PING, { bytes: PING, handle: undefined, stage: undefined })).rejects.toBe(DOWN);
    expect(connections).toHaveLength(0);
  });
});

describe("an engine by network", () => {
  const stops: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  /** A gateway before an engine that is made of what it does with what it gets. */
  async function setUpNetwork(onData: (socket: Socket, text: string) => void, listening = true) {
    const port = await freePort();
    let connections = 0;
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (bytes) => onData(socket, bytes.toString()));
      connections++;
    });
    const listen = (): Promise<void> => new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
    if (listening) await listen();
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    const engine = new TcpEngine(port);
    const gateway: TestGateway = await startGateway(engine);
    stops.push(() => gateway.stop());
    return { gateway, engine, listen, connections: () => connections };
  }

  it.each(["AUTH bob pw", "HELLO 3", "SELECT 5", "MULTI", "WATCH k"])(
    "that could not be reached for %s ends the client: later commands would mean something else",
    async (command) => {
      const { gateway, listen, connections } = await setUpNetwork((socket) => socket.write("+HERE\r\n"), false);
      const client = await gateway.connect();
      client.write(`GET a\r\n${command}\r\n`);
      await client.until(() => client.pending.split("\r\n").length > 2);
      await listen();
      client.write("SET a 1\r\n");
      expect(await client.readToEnd()).toBe("-ERR engine is not reachable\r\n".repeat(2));
      expect(connections()).toBe(0);
    },
  );

  it("that goes away while a command of ours waits for its turn ends the client, with its replies", async () => {
    const { gateway } = await setUpNetwork((socket, text) => {
      if (text.includes("BLPOP")) socket.resetAndDestroy();
      else socket.write("+OK\r\n");
    });
    const client = await gateway.connect();
    client.write("SET a 1\r\n");
    await client.expect("+OK\r\n");
    client.write("BLPOP q 0\r\nRG.ECHO x\r\nSET b 1\r\n");
    expect(await client.readToEnd()).toBe("-ERR engine is not reachable\r\n".repeat(2));
    expect(gateway.gears.calls).toEqual([]);
  });

  it("that goes away while a command of ours runs lets that answer and carries out nothing more", async () => {
    let goAway = (): void => {};
    const { gateway, engine, connections } = await setUpNetwork((socket) => {
      goAway = () => socket.resetAndDestroy();
      socket.write("+OK\r\n");
    });
    const client = await gateway.connect();
    client.write("RG.WAIT\r\nRG.ECHO x\r\nSET b 1\r\n");
    await expect.poll(() => gateway.gears.waiting.length).toBe(1);
    const before = connections();
    goAway();
    await expect.poll(() => engine.open).toBe(0);
    gateway.gears.waiting[0]?.release(status("done"));
    expect(await client.readToEnd()).toMatch(/^\+done\r\n/);
    expect([gateway.gears.calls, connections()]).toEqual([[], before]);
  });
});
