/** The server as a part of other programs, and files that are named relative to where a program was started. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { hasOpenssl, selfSigned, withoutOpenssl } from "../support/certificates.ts";
import { freePort } from "../support/ports.ts";
import { newFolder } from "../support/folders.ts";

const root = new URL("../../", import.meta.url);
const folder = newFolder();

function run(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let told = false;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (bytes: Buffer) => {
        output += bytes;
        if (!told && output.includes("Ready to accept connections tls")) told = child.kill("SIGTERM");
      });
    child.once("close", (code) => resolve({ code, output }));
  });
}

/** Runs a program that embeds the server. */
function program(code: string): Promise<{ code: number | null; output: string }> {
  const file = join(folder, "program.mjs");
  writeFileSync(file, `import { createServer } from ${JSON.stringify(new URL("dist/index.js", root).href)};\n${code}`);
  return run([file]);
}

describe("createServer", () => {
  it("fails with the documented error when a port is in use, and leaves nothing behind", async () => {
    const taken = createServer();
    const port = await new Promise<number>((resolve) =>
      taken.listen(0, "127.0.0.1", () => resolve((taken.address() as { port: number }).port)),
    );
    try {
      const { code, output } = await program(`
        for (const options of [{ port: ${port} }, { port: 0, metricsPort: ${port} }])
          await createServer({ loglevel: "warning", ...options }).catch((e) => console.log(e.name, e.message, e.cause.code));
      `);
      const line = `InternalError can not listen on 127.0.0.1:${port}: it is in use already (EADDRINUSE) EADDRINUSE\n`;
      expect({ code, output }).toEqual({ code: 0, output: line + line });
    } finally {
      taken.close();
    }
  });

  it("refuses a `dir` that is none", async () => {
    writeFileSync(join(folder, "file"), "");
    const { code, output } = await program(`
      await createServer({ port: 0, dir: "file", loglevel: "warning" }).catch((e) => console.log(e.name, e.message));
    `);
    expect({ code, output }).toEqual({
      code: 0,
      output: "ConfigError option 'dir': 'file' can not be used (EEXIST)\n",
    });
  });

  it("logs nothing with `log: false`, or to a log of the program's, and says where it is", async () => {
    const { code, output } = await program(`
      const silent = await createServer({ port: 0, log: false });
      console.log(typeof silent.port, silent.url === "redis://127.0.0.1:" + silent.port);
      await silent.close();
      const lines = [];
      const take = (first, text) => lines.push(text ?? first);
      const log = { trace() {}, debug() {}, info: take, warn: take, error: take };
      const server = await createServer({ port: 0, requirepass: "se/cret", log });
      console.log(server.url === "redis://default:se%2Fcret@127.0.0.1:" + server.port, lines.some((line) => line.includes("Ready")));
      await server.close();
      const other = await createServer({ port: 0, unixsocket: "here.sock", log: false });
      console.log(other.port, other.url);
      await other.close();
      await createServer({ port: 0, log: "no" }).catch((e) => console.log(e.name, e.message));
    `);
    expect({ code, output }).toEqual({
      code: 0,
      output:
        `number true\ntrue true\n0 unix://${join(realpathSync(folder), "here.sock")}\n` +
        "ConfigError option 'log' is false, or a logger such as pino's, with trace, debug, info, warn and error\n",
    });
  });

  it("keeps its folder when the program goes elsewhere", async () => {
    const { code, output } = await program(`
      const server = await createServer({ port: 0, dir: "kept", loglevel: "warning" });
      process.chdir(${JSON.stringify(tmpdir())});
      const { connect } = await import("node:net");
      const client = connect(server.port, "127.0.0.1").end("SET a b\\r\\n").resume();
      await new Promise((resolve) => client.on("close", resolve));
      await server.close();
    `);
    expect({ code, output }).toEqual({ code: 0, output: "" });
    expect(existsSync(join(folder, "kept", "dump.rdb"))).toBe(true);
  });
});

describe.skipIf(!hasOpenssl)(`relative certificates${withoutOpenssl}`, () => {
  beforeAll(() => {
    selfSigned(folder);
    mkdirSync(join(folder, "data"), { recursive: true });
  });

  it("are found by the program, whose folder for data is another one", async () => {
    const tls = ["--tls-port", String(await freePort()), "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];
    const { code, output } = await run([
      ...[fileURLToPath(new URL("bin/regears.js", root)), "--port", "0", "--dir", "data"],
      ...[...tls, "--tls-auth-clients", "no"],
    ]);
    expect(output).toContain("* Ready to accept connections tls");
    expect(code).toBe(0);
  });

  it("are found by a program that embeds the server and has gone elsewhere", async () => {
    const { code, output } = await program(`
      process.chdir(${JSON.stringify(tmpdir())});
      const tls = { tlsPort: ${await freePort()}, tlsCertFile: "cert.pem", tlsKeyFile: "key.pem", tlsAuthClients: "no" };
      const server = await createServer({ port: 0, loglevel: "warning", ...tls });
      await server.close();
    `);
    expect({ code, output }).toEqual({ code: 0, output: "" });
  });
});
