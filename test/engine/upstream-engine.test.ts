import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { ENGINE_DOWN } from "../../src/engine/engine.ts";
import { UpstreamEngine, type UpstreamOptions } from "../../src/engine/upstream-engine.ts";
import { InternalError } from "../../src/errors.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { newFolder } from "../support/folders.ts";
import { engineCases, plain } from "./engine.cases.ts";
import { RawConnection } from "./raw-connection.ts";
import { hasOpenssl, selfSigned, withoutOpenssl } from "../support/certificates.ts";
import { freePort } from "../support/ports.ts";

const redis = findRedisServer();
const ends: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function server(...args: string[]): Promise<RedisServer> {
  const started = await startRedisServer(args);
  ends.push(() => started.stop());
  return started;
}

function engineFor(options: UpstreamOptions): UpstreamEngine {
  const engine = new UpstreamEngine(options);
  ends.push(() => engine.stop());
  return engine;
}

async function startedFor(options: UpstreamOptions): Promise<EngineClient> {
  const engine = engineFor(options);
  await engine.start();
  return new EngineClient(engine.connect());
}

describe.skipIf(!redis.path)(`UpstreamEngine by TCP${redis.skipped}`, () => {
  engineCases(async () => {
    const started = await startRedisServer();
    const engine = new UpstreamEngine({ url: `redis://127.0.0.1:${started.port}` });
    await engine.start();
    const stop = async (): Promise<void> => {
      await engine.stop();
      await started.stop();
    };
    return { engine, stop };
  });
});

describe.skipIf(!redis.path)(`UpstreamEngine's login${redis.skipped}`, () => {
  it("does not take its own thread's work for an engine that does not answer", async () => {
    const { port } = await server("--requirepass", "secret");
    const engine = engineFor({ url: `redis://:secret@127.0.0.1:${port}`, connectTimeoutMs: 1000 });
    await engine.start();
    const client = new EngineClient(engine.connect());
    const end = performance.now() + 1200;
    while (performance.now() < end);
    expect(plain(await client.call("PING"))).toBe("PONG");
    client.close();
  });

  it("uses password, user and database, by unix socket too", async () => {
    const { port, socketPath } = await server();
    const admin = await startedFor({ url: `unix://${socketPath}` });
    await admin.call("ACL", "SETUSER", "me", "on", ">s/cret@", "~*", "+@all");
    for (const place of [`redis://me:s%2Fcret%40@127.0.0.1:${port}/3`, `unix://me:s%2Fcret%40@${socketPath}?db=3`]) {
      const client = await startedFor({ url: place });
      const who = String(await client.call("CLIENT", "LIST"));
      expect(String(await client.call("ACL", "WHOAMI"))).toBe("me");
      expect(who).toMatch(/ db=3 .*cmd=client/);
    }
    const engine = engineFor({ url: `redis://:wrong@127.0.0.1:${port}` });
    await admin.call("CONFIG", "SET", "requirepass", "right");
    await expect(engine.start()).rejects.toThrow(
      new InternalError(
        `the engine redis://127.0.0.1:${port}/0 can not be used: the engine refuses AUTH: WRONGPASS invalid username-password pair or user is disabled.`,
      ),
    );
    await expect(engineFor({ url: `redis://127.0.0.1:${port}` }).start()).rejects.toThrow("NOAUTH");
    await expect(engineFor({ url: `redis://:right@127.0.0.1:${port}/99` }).start()).rejects.toThrow(
      "the engine refuses SELECT: ERR DB index is out of range",
    );
    await startedFor({ url: `redis://:right@127.0.0.1:${port}` });
  });

  it("sends nothing before it has succeeded, and closes when it fails", async () => {
    const { port } = await server();
    const engine = engineFor({ url: `redis://:pw@127.0.0.1:${port}/1` });
    const admin = await startedFor({ url: `redis://127.0.0.1:${port}` });
    await admin.call("CONFIG", "SET", "requirepass", "pw");
    await engine.start();
    await admin.call("CONFIG", "SET", "requirepass", "changed");
    const raw = new RawConnection(engine);
    raw.send("SET k v\r\n");
    expect(await raw.end()).toMatchObject({ message: expect.stringContaining("the engine refuses AUTH: WRONGPASS") });
    expect(
      await admin.pipeline([
        ["EXISTS", "k"],
        ["SELECT", "1"],
        ["EXISTS", "k"],
      ]),
    ).toMatchObject([0, {}, 0]);
  });

  it("refuses a cluster", async () => {
    const { port } = await server("--cluster-enabled", "yes");
    await expect(engineFor({ url: `redis://127.0.0.1:${port}` }).start()).rejects.toThrow(
      "it is a node of a cluster, and clusters are not supported",
    );
  });

  it("asks for room while it lasts, and then has it", async () => {
    const { port } = await server();
    const engine = engineFor({ url: `redis://127.0.0.1:${port}/1` });
    await engine.start();
    const raw = new RawConnection(engine);
    let drained = 0;
    raw.connection.onDrain = () => drained++;
    raw.connection.pause();
    raw.connection.resume();
    expect(raw.connection.write(Buffer.from(`*2\r\n$4\r\nECHO\r\n$2000000\r\n${"x".repeat(2_000_000)}\r\n`))).toBe(
      false,
    );
    await raw.when(() => raw.bytes === 2_000_012);
    expect(drained).toBe(1);
  });
});

describe.skipIf(!redis.path)(`UpstreamEngine without its server${redis.skipped}`, () => {
  it("does not start", async () => {
    const url = `redis://127.0.0.1:${await freePort()}`;
    await expect(engineFor({ url }).start()).rejects.toThrow(
      /can not be used: ERR engine is not reachable: connect ECONNREFUSED/,
    );
    await expect(engineFor({ url: "unix:///nowhere/socket" }).start()).rejects.toThrow("ENOENT");
  });

  it("gives up on a server that does not answer", async () => {
    const silent = await listen(createServer());
    for (const login of ["", ":pw@"]) {
      const engine = engineFor({ url: `redis://${login}127.0.0.1:${silent.port}`, connectTimeoutMs: 50 });
      await expect(engine.start()).rejects.toThrow("no answer within 50 ms");
    }
  });

  it("tells that it went and came back, and fails at once meanwhile", async () => {
    const { port } = await server("--enable-debug-command", "yes");
    const pauses: number[] = [];
    const random = (): number => {
      pauses.push(performance.now());
      return 0;
    };
    const engine = engineFor({ url: `redis://127.0.0.1:${port}`, random });
    await engine.start();
    const states: boolean[] = [];
    let changed = (): void => {};
    engine.onStateChange = (up) => {
      states.push(up);
      changed();
    };
    const nextState = (): Promise<void> =>
      new Promise((resolve) => {
        changed = resolve;
      });
    const client = new EngineClient(engine.connect());
    const down = nextState();
    const lost = client.call("DEBUG", "RESTART", "1500");
    await expect(lost).rejects.toThrow();
    await down;
    expect(states).toEqual([false]);
    const up = nextState();
    const refused = new RawConnection(engine);
    refused.send("PING\r\n");
    expect(await refused.end()).toMatchObject({ message: ENGINE_DOWN });
    // at once, and not when the server is there again
    expect(states).toEqual([false]);
    await up;
    expect(states).toEqual([false, true]);
    expect(pauses.length).toBeGreaterThan(1);
    expect(plain(await new EngineClient(engine.connect()).call("PING"))).toBe("PONG");
  });

  it("does not think it gone when only its own connection was closed", async () => {
    const { port } = await server();
    const engine = engineFor({ url: `redis://127.0.0.1:${port}` });
    await engine.start();
    const states: boolean[] = [];
    engine.onStateChange = (up) => states.push(up);
    const client = new EngineClient(engine.connect());
    expect(await client.call("CLIENT", "KILL", "TYPE", "normal")).toBe(1);
    while (
      String(await client.call("CLIENT", "LIST"))
        .trim()
        .split("\n").length < 2
    )
      await client.call("PING");
    expect(plain(await new EngineClient(engine.connect()).call("PING"))).toBe("PONG");
    expect(states).toEqual([]);
  });

  it("notices a server that hangs", async () => {
    let hang = false;
    const answers = createServer((socket) =>
      socket.on("data", (bytes) => {
        const count = bytes.toString().split("*").length - 1;
        if (!hang) socket.write("+PONG\r\n".repeat(count));
      }),
    );
    const { port } = await listen(answers);
    const engine = engineFor({ url: `redis://127.0.0.1:${port}`, healthIntervalMs: 30, connectTimeoutMs: 50 });
    await engine.start();
    hang = true;
    await new Promise<void>((resolve) => {
      engine.onStateChange = (up) => {
        if (!up) resolve();
      };
    });
    hang = false;
    await new Promise<void>((resolve) => {
      engine.onStateChange = (up) => {
        if (up) resolve();
      };
    });
  });

  it("closes what is open when it is stopped", async () => {
    const { port } = await server();
    const engine = engineFor({ url: `redis://127.0.0.1:${port}` });
    await engine.start();
    const client = new EngineClient(engine.connect());
    const waiting = client.call("BLPOP", "x", "0");
    await engine.stop();
    await expect(waiting).rejects.toThrow("the engine closed the connection");
  });
});

async function listen(listener: Server): Promise<{ port: number }> {
  const sockets = new Set<{ destroy(): void }>();
  listener.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const address = listener.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0 };
}

const tools = findTlsTools();

describe.skipIf(tools !== "")(`UpstreamEngine by TLS${tools}`, () => {
  let folder = "";
  let ca = "";
  let started: RedisServer | undefined;
  let tlsPort = 0;

  beforeAll(async () => {
    folder = newFolder();
    const { key, cert } = selfSigned(folder);
    ca = readFileSync(cert, "utf8");
    tlsPort = await freePort();
    const files2 = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert];
    started = await startRedisServer(["--tls-port", String(tlsPort), ...files2]);
  });
  afterAll(async () => {
    await started?.stop();
  });

  const clientTls = (): { ca: string; cert: string; key: string } => ({
    ca,
    cert: ca,
    key: readFileSync(join(folder, "key.pem"), "utf8"),
  });

  it("checks the certificate by the given authority", async () => {
    const client = await startedFor({ url: `rediss://localhost:${tlsPort}/1`, tls: clientTls() });
    expect(plain(await client.call("PING"))).toBe("PONG");
    const byAddress = await startedFor({ url: `rediss://127.0.0.1:${tlsPort}`, tls: clientTls() });
    expect(plain(await byAddress.call("ECHO", "x".repeat(100_000)))).toHaveLength(100_000);
  });

  it("refuses a certificate of nobody it knows, unless told otherwise", async () => {
    const { cert, key } = clientTls();
    const url = `rediss://localhost:${tlsPort}`;
    await expect(engineFor({ url, tls: { cert, key } }).start()).rejects.toThrow(/self-signed certificate/);
    const client = await startedFor({ url, tls: { cert, key, insecure: true } });
    expect(plain(await client.call("PING"))).toBe("PONG");
  });

  it("needs the client's certificate where the server does", async () => {
    await expect(engineFor({ url: `rediss://localhost:${tlsPort}`, tls: { ca } }).start()).rejects.toThrow(
      InternalError,
    );
  });
});

/** Why TLS can not be tested here, as the end of a title; empty when it can. */
function findTlsTools(): string {
  if (!redis.path) return redis.skipped;
  if (!hasOpenssl) return withoutOpenssl;
  // The options exist only in a program that was built with TLS.
  return readFileSync(redis.path).includes("tls-auth-clients") ? "" : " (skipped: this redis-server has no TLS)";
}
