/** Who is let in at all: protected mode, TLS, and the limits on what clients and scripts may make the server hold. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DENIED, isLocal } from "../../src/gateway/protected.ts";
import { Client, connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { PlainClient } from "../support/plain-client.ts";
import { type RunningRegears, runRegears, startRegears } from "../support/regears.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/waiting.ts";

/** An address of this machine that is not the loopback's: packets to it do not leave the machine either. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === "IPv4" && !address.internal)?.address;

async function connectTo(host: string, port: number): Promise<PlainClient> {
  const socket = connect({ host, port });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return new PlainClient(socket);
}

describe("protected mode", () => {
  it.each([
    ["127.0.0.1", "IPv4", true],
    ["127.1.2.3", "IPv4", true],
    ["::1", "IPv6", true],
    ["::ffff:127.0.0.1", "IPv6", true],
    ["192.0.2.1", "IPv4", false],
    ["::ffff:192.0.2.1", "IPv6", false],
    ["fd00::2", "IPv6", false],
    [undefined, undefined, true],
  ])("takes %s for this machine or not", (remoteAddress, remoteFamily, local) => {
    expect(isLocal({ remoteAddress, remoteFamily })).toBe(local);
  });

  it.skipIf(!outside)("serves only this machine, until there is a password", async () => {
    const server = await startRegears(["--bind", "0.0.0.0"]);
    try {
      const stranger = await connectTo(outside ?? "", server.port);
      expect(await stranger.readToEnd()).toBe(DENIED);
      const local = await connectClient(server.port);
      expect(await local.call("PING")).toBe("PONG");
      await local.call("CONFIG", "SET", "requirepass", "secret");
      const known = await connectTo(outside ?? "", server.port);
      known.send("AUTH", "secret");
      known.send("PING");
      await known.expect("+OK\r\n+PONG\r\n");
      known.destroy();
      local.close();
    } finally {
      await server.stop();
    }
  });

  it.skipIf(!outside)("can be switched while the server runs, by clients and scripts", async () => {
    const server = await startRegears(["--bind", "0.0.0.0"]);
    try {
      const local = await connectClient(server.port);
      const greeting = async (): Promise<string> => {
        const stranger = await connectTo(outside ?? "", server.port);
        stranger.send("PING");
        await stranger.until(() => stranger.pending.endsWith("\r\n"));
        const reply = stranger.pending;
        stranger.destroy();
        return reply;
      };
      const shown = (): Promise<unknown> => local.call("CONFIG", "GET", "protected*");
      expect(await shown()).toEqual(["protected-mode", "yes"]);
      expect(await local.call("CONFIG", "SET", "maxmemory", "0", "PROTECTED-mode", "No")).toBe("OK");
      expect(await shown()).toEqual(["protected-mode", "no"]);
      expect(await greeting()).toBe("+PONG\r\n");
      await local.call("MULTI");
      await local.call("CONFIG", "SET", "protected-mode", "yes");
      expect(await local.call("EXEC")).toEqual(["OK"]);
      expect(await shown()).toEqual(["protected-mode", "yes"]);
      expect(await greeting()).toBe(DENIED);
      await expect(local.call("CONFIG", "SET", "protected-mode", "maybe")).rejects.toThrow("argument");
      await expect(local.call("CONFIG", "SET", "protected-mode", "no", "port", "x")).rejects.toThrow("ERR");
      expect(await greeting()).toBe(DENIED);
      const script = "GB('ShardsIDReader').map(lambda _: execute('CONFIG', 'SET', 'protected-mode', 'no')).run()";
      expect(await local.call("RG.PYEXECUTE", script)).toEqual([["OK"], []]);
      expect(await shown()).toEqual(["protected-mode", "no"]);
      expect(await greeting()).toBe("+PONG\r\n");
      expect(await local.call("RG.PYEXECUTE", script.replace("'no'", "'yes'"))).toEqual([["OK"], []]);
      expect(await greeting()).toBe(DENIED);
      for (const name of ["port", "TLS-port", "bind", "tls-cluster"]) {
        await expect(local.call("CONFIG", "SET", "maxmemory", "0", name, "0")).rejects.toThrow("immutable config");
      }
      // the rest of the server is none the worse for it
      expect(await local.call("RG.PYEXECUTE", "GB().count().run()")).toEqual([[], []]);
      expect(
        await local.call("RG.PYEXECUTE", script.replace("protected-mode', 'no'", "requirepass', 'secret'")),
      ).toEqual([["OK"], []]);
      expect(await greeting()).toContain("NOAUTH");
      local.close();
    } finally {
      await server.stop();
    }
  });

  it.skipIf(!outside)("can be switched off", async () => {
    const server = await startRegears(["--bind", "0.0.0.0", "--protected-mode", "no"]);
    try {
      const stranger = await connectTo(outside ?? "", server.port);
      stranger.send("PING");
      await stranger.expect("+PONG\r\n");
      stranger.destroy();
    } finally {
      await server.stop();
    }
  });
});

describe("TLS", () => {
  const directory = newFolder();
  const path = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: directory, stdio: "ignore" });

  beforeAll(() => {
    const extension = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    for (const name of ["ca", "stranger"]) {
      const key = ["-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`];
      openssl("req", "-x509", ...key, "-out", `${name}.crt`, "-days", "2", "-subj", `/CN=${name}`);
    }
    for (const name of ["server", "client"]) {
      const key = ["-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`];
      openssl("req", ...key, "-out", `${name}.csr`, "-subj", `/CN=${name}`, ...extension);
      const by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy"];
      openssl("x509", "-req", "-in", `${name}.csr`, ...by, "-out", `${name}.crt`, "-days", "2");
    }
  });

  const serverFiles = ["--tls-cert-file", path("server.crt"), "--tls-key-file", path("server.key")];
  const ca = ["--tls-ca-cert-file", path("ca.crt")];
  const shown = (name: string): ConnectionOptions => ({
    cert: readFileSync(path(`${name}.crt`)),
    key: readFileSync(path(`${name}.key`)),
  });

  /** What PING is answered over TLS, or the word `refused`. */
  function pingOver(port: number, options: ConnectionOptions = {}): Promise<string> {
    return new Promise((resolve) => {
      const socket = connectTls({ port, host: "127.0.0.1", ca: readFileSync(path("ca.crt")), ...options });
      socket.once("secureConnect", () => socket.write("PING\r\n"));
      socket.once("data", (bytes) => {
        resolve(bytes.toString());
        socket.destroy();
      });
      socket.once("error", () => resolve("refused"));
      socket.once("close", () => resolve("refused"));
    });
  }

  async function withServer(
    args: readonly string[],
    test: (tlsPort: number, port: number) => Promise<void>,
  ): Promise<void> {
    const tlsPort = await freePort();
    const server = await startRegears(["--tls-port", String(tlsPort), ...args]);
    try {
      await test(tlsPort, server.port);
    } finally {
      await server.stop();
    }
  }

  it("asks clients for certificates of its CA", async () => {
    await withServer([...serverFiles, ...ca], async (tlsPort, port) => {
      expect(await pingOver(tlsPort, shown("client"))).toBe("+PONG\r\n");
      expect(await pingOver(tlsPort)).toBe("refused");
      expect(await pingOver(tlsPort, shown("stranger"))).toBe("refused");
      // plain text is not understood there, and goes on at the other port
      const plain = await connectTo("127.0.0.1", tlsPort);
      plain.write("PING\r\n");
      expect(await plain.readToEnd()).not.toContain("PONG");
      const client = await connectClient(port);
      expect(await client.call("PING")).toBe("PONG");
      client.close();
    });
  });

  it("leaves certificates to clients that have one", async () => {
    await withServer([...serverFiles, ...ca, "--tls-auth-clients", "optional"], async (tlsPort) => {
      expect(await pingOver(tlsPort, shown("client"))).toBe("+PONG\r\n");
      expect(await pingOver(tlsPort)).toBe("+PONG\r\n");
      expect(await pingOver(tlsPort, shown("stranger"))).toBe("refused");
    });
  });

  it("asks for none, and carries Python and its password over it", async () => {
    const args = [...serverFiles, "--tls-auth-clients", "no", "--requirepass", "secret"];
    await withServer(args, async (tlsPort) => {
      const socket: Socket = connectTls({ port: tlsPort, host: "127.0.0.1", ca: readFileSync(path("ca.crt")) });
      const client = new Client(socket);
      await expect(client.call("RG.PYEXECUTE", "1")).rejects.toThrow("NOAUTH");
      await client.call("AUTH", "secret");
      const long = "x".repeat(300_000);
      expect(await client.call("RG.PYEXECUTE", `GB('ShardsIDReader').map(lambda x: '${long}').run()`)).toEqual([
        [long],
        [],
      ]);
      client.close();
    });
  });

  it.each([
    ["close after the handshake", true],
    ["close in the middle of it", false],
  ])("is none the worse for clients that %s", async (_what, handshake) => {
    const args = [...serverFiles, "--tls-auth-clients", "no", "--maxclients", "5"];
    await withServer(args, async (tlsPort) => {
      for (let count = 0; count < 30; count++) {
        await new Promise<void>((resolve) => {
          const raw = connect({ port: tlsPort, host: "127.0.0.1" });
          // a full house refuses with a reset
          raw.on("error", () => resolve());
          if (!handshake) {
            raw.once("connect", () => raw.end(Buffer.from("16030100c8010000c40303", "hex"), () => resolve()));
            return;
          }
          const socket = connectTls({ socket: raw, rejectUnauthorized: false });
          socket.on("error", () => resolve());
          socket.once("secureConnect", () => {
            socket.destroy();
            raw.destroy();
            resolve();
          });
        });
      }
      await expect.poll(() => pingOver(tlsPort), { timeout: 5000 }).toBe("+PONG\r\n");
    });
  });

  it("answers a client that sends no more", async () => {
    await withServer([...serverFiles, "--tls-auth-clients", "no"], async (tlsPort) => {
      const raw = connect({ port: tlsPort, host: "127.0.0.1", allowHalfOpen: true });
      const socket = connectTls({ socket: raw, ca: readFileSync(path("ca.crt")), servername: "localhost" });
      const client = new PlainClient(socket);
      await new Promise((resolve) => socket.once("secureConnect", resolve));
      socket.end("PING\r\n");
      expect(await client.readToEnd()).toBe("+PONG\r\n");
    });
  });

  it("can be all there is", async () => {
    const tlsPort = await freePort();
    const args = ["--tls-port", String(tlsPort), ...serverFiles, "--tls-auth-clients", "no"];
    const server = await startRegears([...args, "--port", "0"]);
    try {
      expect(await pingOver(tlsPort)).toBe("+PONG\r\n");
    } finally {
      await server.stop();
    }
  });

  it.each([
    ["tls-port needs tls-cert-file", []],
    ["tls-port needs tls-key-file", ["--tls-cert-file", path("server.crt")]],
    ["tls-auth-clients needs tls-ca-cert-file", serverFiles],
    ["tls-cert-file can not be read", ["--tls-cert-file", path("none"), "--tls-key-file", path("none"), ...ca]],
  ])("refuses to start: %s", async (text, args) => {
    const { exited, output } = runRegears(["--port", "0", "--tls-port", "7119", ...args]);
    expect(await exited).toBe(2);
    expect(output()).toContain(text);
  });
});

describe("limits", () => {
  let server: RunningRegears;
  let client: Client;
  beforeAll(async () => {
    const limits = ["--max-script-size", "1kb", "--max-pending-executions", "3", "--max-registrations", "2"];
    limits.push("--max-waiting-executions", "2", "--max-execution-results", "1mb");
    server = await startRegears([...limits, "--script-log-rate", "10"]);
    client = await connectClient(server.port);
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
  });

  it("of the length of scripts", async () => {
    expect(await client.call("RG.PYEXECUTE", "#".repeat(1024))).toBe("OK");
    await expect(client.call("RG.PYEXECUTE", "#".repeat(1025))).rejects.toThrow(
      "ERR the script is too long: 1025 bytes, max-script-size is 1024",
    );
  });

  it("of unfinished executions", async () => {
    const ids: string[] = [];
    for (let at = 0; at < 3; at++) {
      ids.push(String(await client.call("RG.PYEXECUTE", "import time\nwhile True: time.sleep(0.01)", "UNBLOCKING")));
    }
    await expect(client.call("RG.PYEXECUTE", "1", "UNBLOCKING")).rejects.toThrow(
      "ERR too many executions are unfinished (max-pending-executions is 3)",
    );
    for (const id of ids) await client.call("RG.ABORTEXECUTION", id);
    expect(await client.call("RG.PYEXECUTE", "1")).toBe("OK");
  });

  it("of registrations", async () => {
    const register = (name: string): string => `GB('CommandReader').register(trigger='${name}')\n`;
    await expect(client.call("RG.PYEXECUTE", ["a", "b", "c"].map(register).join(""))).rejects.toThrow(
      "ERR there are as many registrations as may be (max-registrations is 2)",
    );
    expect(await client.call("RG.DUMPREGISTRATIONS")).toEqual([]);
    expect(await client.call("RG.PYEXECUTE", register("a") + register("b"), "ID", "s")).toBe("OK");
    await expect(client.call("RG.PYEXECUTE", register("c"))).rejects.toThrow("max-registrations is 2");
    // what takes the place of others does not add to them
    expect(await client.call("RG.PYEXECUTE", register("a") + register("c"), "ID", "s", "UPGRADE")).toBe("OK");
    expect(await client.call("RG.UNREGISTERALL")).toBe(2);
  });

  it("of executions that wait for futures", async () => {
    const script = `waiting = []
async def wait(r):
    waiting.append(createFuture())
    return await waiting[-1]
GB('CommandReader').map(wait).register(trigger='wait')
GB('CommandReader').foreach(lambda r: [setFutureResults(f, 'good') for f in waiting]).register(trigger='end')`;
    expect(await client.call("RG.PYEXECUTE", script)).toBe("OK");
    const others = await Promise.all([1, 2, 3].map(() => connectClient(server.port)));
    const [first, second, third] = others as [Client, Client, Client];
    const replies = [first.call("RG.TRIGGER", "wait"), second.call("RG.TRIGGER", "wait")];
    await expect.poll(async () => (await client.call("RG.INFO")) as string).toMatch(/^executions_running:2\r$/m);
    await expect(third.call("RG.TRIGGER", "wait")).rejects.toThrow(
      "Execution was stopped: too many wait for coroutines and futures (max-waiting-executions is 2)",
    );
    await client.call("RG.TRIGGER", "end");
    for (const reply of replies) expect(await reply).toEqual(["good"]);
    const reply = third.call("RG.TRIGGER", "wait");
    await expect.poll(async () => (await client.call("RG.INFO")) as string).toMatch(/^executions_running:1\r$/m);
    await client.call("RG.TRIGGER", "end");
    expect(await reply).toEqual(["good"]);
    await client.call("RG.UNREGISTERALL");
    for (const one of others) one.close();
  });

  it.each([
    ["that never ends", "import itertools\ndef source():\n    for n in itertools.count(): yield 'x' * 1000"],
    ["that ends with it", "def source():\n    for n in range(1100): yield 'x' * 1000"],
  ])("of the results of one execution %s", async (_title, script) => {
    const error = "Execution was stopped: it has more than 1048576 bytes of results (max-execution-results)";
    expect(await client.call("RG.PYEXECUTE", `${script}\nGB('PythonReader').run(source)`)).toEqual([[], [error]]);
    const [results] = (await client.call(
      "RG.PYEXECUTE",
      "GB('ShardsIDReader').map(lambda r: 'y' * 1000000).run()",
    )) as [string[]];
    expect(results[0]?.length).toBe(1_000_000);
  });

  it("of what scripts log", async () => {
    await client.call("RG.PYEXECUTE", "for i in range(500): log(f'line {i} of many')");
    const told = /scripts logged more than 10 lines in a second: (\d+) were dropped/;
    const dropped = Number((await until(() => told.exec(server.output())))[1]);
    const written = server.output().match(/of many/g)?.length ?? 0;
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThanOrEqual(20);
    expect(written + dropped).toBe(500);
  });
});
