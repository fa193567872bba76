/**
 * The image as the modules of Testcontainers use it: what they send, and what they wait for. There is no Docker here: the
 * entrypoint is run with the programs of the image, on a port that is told by the environment.
 *
 *   Node    redis, valkey 12.1.0       an option with its value in one argument; waits for the log; redis-cli, valkey-cli < file
 *   Go      redis, valkey 0.40         a configuration file, --loglevel, --save, TLS; waits for the log and the ports
 *   Java    testcontainers-redis 2     redis-server /data/redis.conf, REDIS_ARGS; waits for a line of the log
 *   Python  testcontainers 4           redis-server --requirepass …; waits for redis-cli ping
 *   .NET    Testcontainers.Redis 4     waits for redis-cli ping; runs scripts by redis-cli --eval
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { selfSigned } from "../support/certificates.ts";
import { freePort } from "../support/ports.ts";
import { newFolder } from "../support/folders.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const image = newFolder();
const bin = join(image, "bin");
const data = join(image, "data");
let container: ChildProcess | undefined;
let port = 0;

beforeAll(() => {
  mkdirSync(bin);
  mkdirSync(data);
  symlinkSync(`${root}bin/regears.js`, join(bin, "regears"));
  for (const name of ["redis", "valkey"]) {
    symlinkSync(`${root}docker/redis-cli.mjs`, join(bin, `${name}-cli`));
    symlinkSync(`${root}docker/redis-server`, join(bin, `${name}-server`));
  }
  writeFileSync(join(image, "import"), "SET imported yes\nHSET h field 'two words'\n");
});
afterEach(async () => {
  const exited = new Promise((resolve) => container?.once("close", resolve));
  container?.kill("SIGKILL");
  await exited;
});

/** Starts a container with this command, and waits as a module does. */
async function run(command: readonly string[], wait: RegExp, env: NodeJS.ProcessEnv = {}): Promise<string> {
  port = await freePort();
  const child = spawn(`${root}docker/entrypoint.sh`, [...command], {
    cwd: data,
    env: { ...environment(), REGEARS_PORT: String(port), REGEARS_DIR: data, ...env },
  });
  container = child;
  let log = "";
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (bytes: Buffer) => {
        log += bytes;
        if (!wait.test(log)) return;
        // whoever has seen the line connects
        const socket = connect(port, "127.0.0.1");
        socket.once("connect", () => resolve(log)).once("error", reject);
        socket.once("connect", () => socket.destroy());
      });
    child.once("close", (code) => reject(new Error(`ended with ${code}: ${log}`)));
  });
}

const environment = (): NodeJS.ProcessEnv => ({ ...process.env, PATH: `${bin}:${process.env.PATH}` });

/** Runs a program in the container. */
function exec(program: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      join(bin, program),
      ["-p", String(port), ...args],
      { env: environment() },
      (error, out, err) => (error ? reject(new Error(`${error.message} ${err}`)) : resolve(out.trim())),
    );
    child.stdin?.end(input);
  });
}

const READY = /Ready to accept connections/;

describe.skipIf(process.platform === "win32")("the image under Testcontainers", () => {
  it("for Node: Redis with a password and initial data; for Python the same", async () => {
    await run(["redis-server", "--requirepass secret"], READY);
    expect(await exec("redis-cli", ["-a secret", "ping"])).toBe("PONG");
    expect(await exec("redis-cli", ["-a", "secret", "ping"])).toBe("PONG");
    expect(await exec("redis-cli", ["ping"])).toContain("NOAUTH");
    const imported = await exec("redis-cli", ["-a", "secret"], "SET imported yes\nHSET h field 'two words'\n");
    expect(imported.split("\n")).toEqual(["OK", "1"]);
    expect(await exec("redis-cli", ["-a secret", "HGET", "h", "field"])).toBe("two words");
  });

  it("for Node: Valkey with a user, a password and persistence", async () => {
    const user = '--user "alice" on >secret ~* +@all';
    const command = ["valkey-server", '--requirepass "secret"', user, "--save 1 1 ", "--appendonly yes"];
    await run(command, READY);
    expect(await exec("redis-cli", ["--pass secret", "--user alice", "SET", "k", "v"])).toBe("OK");
    expect(await exec("valkey-cli", ["-a", "secret"], "GET k\n")).toBe("v");
  });

  it("for Go and .NET: a configuration file, a level of the log, snapshots, TLS; scripts", async () => {
    const file = join(image, "redis.conf");
    writeFileSync(file, "bind 0.0.0.0\nprotected-mode no\nmaxmemory 256mb\nmaxmemory-policy allkeys-lru\n");
    selfSigned(image);
    const tlsPort = String(await freePort());
    const certificates = ["cert", "key", "ca-cert"].flatMap((name) => [
      `--tls-${name}-file`,
      join(image, name === "key" ? "key.pem" : "cert.pem"),
    ]);
    const tls = ["--tls-port", tlsPort, ...certificates, "--tls-auth-clients", "yes"];
    const log = await run(
      [file, "--loglevel", "verbose", "--save", "60", "1", ...tls],
      /\* Ready to accept connections/,
    );
    expect(log.match(/\* Ready to accept connections (tcp|tls)/)).not.toBeNull();
    expect(await exec("redis-cli", ["ping"])).toBe("PONG");
    const client = ["--tls", "--cacert", "cert.pem", "--cert", "cert.pem", "--key", "key.pem"].map((word) =>
      word.endsWith(".pem") ? join(image, word) : word,
    );
    expect(await exec("redis-cli", ["-p", tlsPort, "-h", "localhost", ...client, "ping"])).toBe("PONG");
    expect(await exec("redis-cli", ["CONFIG", "GET", "maxmemory"])).toContain(String(256 * 1024 * 1024));
    writeFileSync(join(image, "script.lua"), "return {KEYS[1], ARGV[1] or 'none'}");
    expect(await exec("redis-cli", ["--eval", join(image, "script.lua"), "0"])).toBe("0\nnone");
  });

  it("for Java: keyspace notifications by a file in /data, and REDIS_ARGS", async () => {
    writeFileSync(join(data, "redis.conf"), "notify-keyspace-events KEA\n");
    const REDIS_ARGS = "--requirepass secret";
    await run(["redis-server", join(data, "redis.conf")], /.*Ready to accept connections.*\n/, { REDIS_ARGS });
    const flags = await exec("redis-cli", ["-a", "secret", "CONFIG", "GET", "notify-keyspace-events"]);
    expect(flags.split("\n")[1]).toMatch(/^(?=.*A)(?=.*K)(?=.*E)/);
  });
});
