/** The programs that the Docker image puts beside the server. */
import { execFile, spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../support/ports.ts";
import { newFolder } from "../support/folders.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const bin = newFolder();

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[], input = ""): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
    const child = execFile(program, args, { env, encoding: "latin1" }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
    // A program that does not read its input may have ended before it is written.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

describe("redis-cli", () => {
  let server: Server;
  let port = 0;
  const received: string[] = [];
  const replies = new Map([
    ["PING", "+PONG\r\n"],
    ["GET", '$5\r\na"b\xff\n\r\n'],
    ["INCR", ":7\r\n"],
    ["NIL", "$-1\r\n"],
    ["BAD", "-ERR bad\r\n"],
    ["AUTH", "+OK\r\n"],
    ["LIST", "*3\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n*0\r\n"],
    ["ECHO", "$4\r\ntext\r\n"],
  ]);

  beforeAll(async () => {
    server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        const text = bytes.toString("latin1");
        received.push(text);
        for (const [, name = ""] of text.matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g))
          for (const byte of Buffer.from(replies.get(name.toUpperCase()) ?? "-ERR unknown\r\n", "latin1"))
            socket.write(Buffer.from([byte]));
      });
    });
    port = await new Promise((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
    );
  });
  afterAll(() => server.close());
  const cli = (args: string[], input?: string) =>
    run(process.execPath, [`${root}docker/redis-cli.mjs`, "-p", String(port), ...args], input);

  it("pings", async () => {
    expect(await cli(["ping"])).toEqual({ code: 0, stdout: "PONG\n", stderr: "" });
  });

  it("prints replies for programs when its output is no terminal", async () => {
    expect((await cli(["GET", "x"])).stdout).toBe('a"b\xff\n\n');
    expect((await cli(["LIST"])).stdout).toBe("a\n1\n2\n\n");
    expect((await cli(["NIL"])).stdout).toBe("\n");
  });

  it("prints replies for people", async () => {
    expect((await cli(["--no-raw", "GET", "x"])).stdout).toBe('"a\\"b\\xff\\n"\n');
    expect((await cli(["--no-raw", "INCR", "x"])).stdout).toBe("(integer) 7\n");
    expect((await cli(["--no-raw", "NIL"])).stdout).toBe("(nil)\n");
    expect((await cli(["--no-raw", "LIST"])).stdout).toBe(
      '1) "a"\n2) 1) (integer) 1\n   2) (integer) 2\n3) (empty array)\n',
    );
  });

  it("ends with 1 for an error only when asked to", async () => {
    expect(await cli(["BAD"])).toMatchObject({ code: 0, stdout: "ERR bad\n" });
    expect(await cli(["-e", "BAD"])).toMatchObject({ code: 1, stdout: "ERR bad\n" });
  });

  it("authenticates, and reads its last argument or its commands from standard input", async () => {
    received.length = 0;
    await cli(["-a", "pw", "-x", "ECHO"], "from input");
    expect(received.join("")).toBe(
      "*3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$2\r\npw\r\n*2\r\n$4\r\nECHO\r\n$10\r\nfrom input\r\n",
    );
    expect((await cli([], 'PING\n\nECHO "two words"\n')).stdout).toBe("PONG\ntext\n");
  });

  it("takes an option and its value in one argument, as testcontainers sends them", async () => {
    received.length = 0;
    await cli(["-a pw", "--user alice", "ECHO", "text"]);
    expect(received.join("")).toContain("*3\r\n$4\r\nAUTH\r\n$5\r\nalice\r\n$2\r\npw\r\n");
  });

  it("evaluates a file with keys and arguments", async () => {
    const script = join(bin, "script.lua");
    writeFileSync(script, "return 1");
    received.length = 0;
    await cli(["--eval", script, "k1", "k2", ",", "a b"]);
    await cli(["--eval", script, "0"]);
    const evaluation = (...words: string[]) =>
      [`*${words.length}\r\n`, ...words.map((word) => `$${word.length}\r\n${word}\r\n`)].join("");
    expect(received.join("")).toBe(
      evaluation("EVAL", "return 1", "2", "k1", "k2", "a b") + evaluation("EVAL", "return 1", "1", "0"),
    );
  });

  it("ends with 1 when nobody answers", async () => {
    const closed = String(await freePort());
    const { code, stderr } = await run(process.execPath, [`${root}docker/redis-cli.mjs`, "-p", closed, "ping"]);
    expect(code).toBe(1);
    expect(stderr).toContain(`Could not connect to Redis at 127.0.0.1:${closed}`);
  });
});

describe("the entrypoint", () => {
  beforeAll(() => {
    symlinkSync("/bin/echo", join(bin, "regears"));
    for (const name of ["redis-server", "valkey-server"]) symlinkSync(`${root}docker/redis-server`, join(bin, name));
  });
  const entrypoint = (...args: string[]) => run(`${root}docker/entrypoint.sh`, args);

  it("takes options and configuration files for the server, other words for a program", async () => {
    expect((await entrypoint("--port", "7")).stdout).toBe("--port 7\n");
    expect((await entrypoint("/etc/redis.conf", "--port", "7")).stdout).toBe("/etc/redis.conf --port 7\n");
    expect((await entrypoint("redis-server", "--requirepass", "two words")).stdout).toBe("--requirepass two words\n");
    expect((await entrypoint("valkey-server", "--port", "7")).stdout).toBe("--port 7\n");
    expect((await entrypoint("/bin/echo", "other")).stdout).toBe("other\n");
  });

  it("adds the arguments that the environment holds, as the images of Redis Stack and Valkey do", async () => {
    process.env.REDIS_ARGS = "--requirepass *  --save 60 1";
    process.env.VALKEY_EXTRA_FLAGS = "--hz 20";
    try {
      expect((await entrypoint("--port", "7")).stdout).toBe("--port 7 --requirepass * --save 60 1 --hz 20\n");
      expect((await entrypoint("/bin/echo", "other")).stdout).toBe("other\n");
    } finally {
      delete process.env.REDIS_ARGS;
      delete process.env.VALKEY_EXTRA_FLAGS;
    }
  });
});

describe("the Dockerfile", () => {
  const text = readFileSync(`${root}Dockerfile`, "utf8");
  const ignore = readFileSync(`${root}.dockerignore`, "utf8").split("\n");
  /** What steps of it copy out of the context. */
  const copiedBy = (steps: string): string[] =>
    [...steps.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, words = ""]) => words.split(" "));

  it("has the programs under the names of Redis and of Valkey", () => {
    const links = [...text.matchAll(/ln -s \/app\/(\S+) \/usr\/local\/bin\/(\S+)/g)].map(([, to = "", name]) => [
      name,
      to,
    ]);
    expect(Object.fromEntries(links)).toEqual({
      regears: "bin/regears.js",
      "redis-cli": "docker/redis-cli.mjs",
      "redis-server": "docker/redis-server",
      "valkey-cli": "docker/redis-cli.mjs",
      "valkey-server": "docker/redis-server",
    });
    for (const [, to = ""] of links) expect(statSync(`${root}${to}`).mode & 0o111, to).not.toBe(0);
  });

  it("has all that the build needs", { timeout: 120_000 }, async () => {
    const stage = text.split(/^FROM /m).find((one) => one.includes("npm run build"));
    const copied = copiedBy(stage ?? "");
    expect(copied).toContain("src");
    const folder = newFolder();
    for (const name of copied) cpSync(`${root}${name}`, join(folder, name), { recursive: true });
    symlinkSync(`${root}node_modules`, join(folder, "node_modules"));
    const built = spawnSync("npm", ["run", "build"], { cwd: folder, encoding: "utf8" });
    expect({ status: built.status, errors: built.stderr }).toEqual({ status: 0, errors: expect.any(String) });
    expect(existsSync(join(folder, "dist/console/page/index.html"))).toBe(true);
  });

  it("copies only what is in its context", () => {
    const copied = copiedBy(text);
    expect(copied.length).toBeGreaterThan(5);
    expect(copied.filter((name) => !ignore.includes(`!${name}`))).toEqual([]);
  });
});
