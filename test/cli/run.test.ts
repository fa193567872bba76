/** `regears run`, against a server and with one of its own. */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { newFolder } from "../support/folders.ts";
import { executions, fields, useServer } from "../support/use-server.ts";
import { folderOf } from "../support/wheels.ts";
import { until } from "../support/waiting.ts";
import { freePort } from "../support/ports.ts";
import { finish, PROGRAM, start } from "./program.ts";

const folder = newFolder();
const file = (name: string, text: string | Buffer): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const WORD_COUNT = new URL("../../examples/word_count.py", import.meta.url).pathname;
const commands = file("commands.txt", '# two texts\nSET text:1 "to be or not to be"\n\nSET text:2 be\n');

describe("against a server", () => {
  const wheels = newFolder();
  const names = ["apple", "pear", "plum"];
  folderOf(
    names.map((name) => ({ name, version: "1.0" })),
    wheels,
  );
  afterAll(() => rmSync(wheels, { recursive: true, force: true }));
  const setting = useServer(["--packages-dir", wheels, "--pyodide-packages", "no", "--index-url", "no"]);
  const run = (...args: string[]) => finish(["run", "--url", `redis://127.0.0.1:${setting().server.port}`, ...args]);

  it("prints results as lines, as JSON, and as bytes", async () => {
    const script = file(
      "kinds.py",
      "GB('PythonReader').flatmap(lambda x: x).run(lambda: (yield ['a\\nb', b'\\xff', 3, ['x', 1], 'é'][::-1]), convertToStr=False)",
    );
    const output = async (...options: string[]): Promise<string> => (await run(script, ...options)).out;
    expect(await output()).toBe('a\\nb\n\\xff\n3\n["x",1]\né\n');
    expect(await output("--json")).toBe('"a\\nb"\n"ÿ"\n3\n["x",1]\n"é"\n');
    expect(await output("--raw")).toBe('a\nb\n\ufffd\n3\n["x",1]\né\n');
    expect(await executions(setting().client)).toEqual([]);
  });

  it("shows all digits of integers of 64 bits, wherever they come from", async () => {
    const script = file(
      "large.py",
      "def all():\n    yield 2**53 + 1\n    yield execute('INCRBY', 'large', 2**53 + 1)\n    yield [-(2**63), 2**63 - 1]\n" +
        "GB('PythonReader').map(lambda x: x).run(all, convertToStr=False)\n",
    );
    const lines = "9007199254740993\n9007199254740993\n[-9223372036854775808,9223372036854775807]\n";
    for (const form of [[], ["--json"], ["--raw"]]) {
      await setting().client.call("DEL", "large");
      expect(await run(script, ...form)).toEqual({ code: 0, out: lines, err: "" });
    }
    expect(await run(script, "--json", "--raw")).toMatchObject({ code: 2, err: expect.stringContaining("not both") });
  });

  it("says which files are no text, and writes no control characters to a terminal", async () => {
    const wide = file("wide.py", Buffer.from("\ufeffGB('ShardsIDReader').run()\n", "utf16le"));
    expect(await run(wide)).toMatchObject({
      ...{ code: 2, err: expect.stringContaining(`${wide} is no text: a script must be UTF-8`) },
    });
    const binary = file("binary.bin", Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 0x1b, 0x5b, 0x0a]));
    expect(await run(WORD_COUNT, "--load", binary)).toMatchObject({
      ...{ code: 2, err: expect.stringContaining(`${binary} is neither a dump nor a file of commands`) },
    });
    const colours = file("colours.txt", "\x1b[31mSET a b\n");
    const { code, err } = await run(WORD_COUNT, "--load", colours);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(`${colours}:1: ERR unknown command`) });
    expect(err).not.toContain("\x1b");
  });

  it("calls the other end the server", async () => {
    expect(await finish(["run", WORD_COUNT, "--url", "http://127.0.0.1"])).toMatchObject({
      ...{ code: 2, err: expect.stringContaining("the server's URL must look like") },
    });
    const url = `redis://nobody:wrong@127.0.0.1:${setting().server.port}`;
    expect(await finish(["run", WORD_COUNT, "--url", url])).toMatchObject({
      ...{ code: 1, err: expect.stringContaining("the server refuses AUTH: WRONGPASS") },
    });
  });

  it("loads commands, and finds the server by REDIS_URL", async () => {
    const env = { REDIS_URL: `redis://127.0.0.1:${setting().server.port}` };
    expect(await finish(["run", WORD_COUNT, "--load", commands], { env })).toEqual({
      ...{ code: 0, err: "", out: "be 3\nto 2\nor 1\nnot 1\n" },
    });
    const wrong = file("wrong.txt", "SET a b\nGET\n");
    expect(await run(WORD_COUNT, "--load", wrong)).toMatchObject({
      code: 2,
      err: expect.stringContaining(`${wrong}:2: ERR wrong number of arguments for 'get' command`),
    });
  });

  it("shows errors as tracebacks with the lines of the script, and ends with 1", async () => {
    await setting().client.call("MSET", "a", "1", "b", "2");
    const script = file(
      "bad.py",
      "def half(text):\n    return text.nope\n\nGB().map(lambda r: half(r['value'])).run()\n",
    );
    expect(await run(script)).toEqual({
      code: 1,
      out: "",
      err:
        `Traceback (most recent call last):\n  File "${script}", line 4, in <lambda>\n` +
        `    GB().map(lambda r: half(r['value'])).run()\n  File "${script}", line 2, in half\n    return text.nope\n` +
        "AttributeError: 'str' object has no attribute 'nope'\n",
    });
    const often = file("often.py", "async def no(r):\n    raise ValueError('no')\n\nGB().map(no).run()\n");
    expect(await run(often)).toEqual({ code: 1, out: "", err: "no\n(2 times)\n" });
  });

  it("shows errors of the body and of the compiler in the same way", async () => {
    const body = file("body.py", "\nGB().map(5)\n");
    expect(await run(body)).toEqual({
      code: 1,
      out: "",
      err:
        `Traceback (most recent call last):\n  File "${body}", line 2, in <module>\n    GB().map(5)\n` +
        "gears.error: map argument must be a function\n",
    });
    const syntax = file("syntax.py", "x = (\n");
    expect(await run(syntax)).toEqual({
      code: 1,
      out: "",
      err: `  File "${syntax}", line 1\n    x = (\nSyntaxError: '(' was never closed\n`,
    });
  });

  it("passes further words on, and says OK of a script that only registers", async () => {
    const script = file("register.py", "GB('CommandReader').map(lambda c: 'yes').register(trigger='t')\n");
    expect(await run(script, "ID", "mine", "DESCRIPTION", "words")).toEqual({ code: 0, out: "OK\n", err: "" });
    const [session] = (await setting().client.call("RG.PYDUMPSESSIONS")) as string[][];
    expect(fields(session)).toMatchObject({ ID: "mine", sessionDescription: "words" });
    expect(await run(script, "--id", "mine")).toEqual({
      ...{ code: 1, out: "", err: "Session mine already exists\n" },
    });
  });

  it("reads requirements from a file, or takes one by its name", async () => {
    const script = file("needs.py", "GB('ShardsIDReader').run()\n");
    const list = file("requirements.txt", "# what it needs\napple\npear # two\n");
    expect((await run(script, "--requirements", list, "--requirements", "plum")).code).toBe(0);
    const known = (await setting().client.call("RG.PYDUMPREQS")) as string[][];
    expect(known.map((one) => fields(one).Name)).toEqual(["apple", "pear", "plum"]);
  });

  it("reads the script from standard input", async () => {
    const url = `redis://127.0.0.1:${setting().server.port}`;
    const input = "GB('ShardsIDReader').map(lambda x: 1/0).run()";
    const { code, err } = await finish(["run", "-", "--url", url], { input });
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining('File "<stdin>", line 1, in <lambda>') });
  });

  it("aborts the execution at Ctrl-C, and has told meanwhile how it is", async () => {
    const script = file("endless.py", "import time\nGB('ShardsIDReader').map(lambda x: time.sleep(1000)).run()\n");
    const url = `redis://127.0.0.1:${setting().server.port}`;
    const { child, ended } = start(["run", script, "--url", url, "--unblocking"]);
    await until(async () => (await executions(setting().client)).some(({ status }) => status === "running"));
    child.kill("SIGINT");
    const { code, err } = await ended;
    expect(code).toBe(130);
    expect(err).toContain("aborting the execution\n");
    expect(err).toMatch(/^aborted, \d+ records read, 0 results, \d+\.\d s$/m);
    expect(await executions(setting().client)).toEqual([]);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("aborts the execution at %s", async (signal, status) => {
    const script = file("endless.py", "import time\nGB('ShardsIDReader').map(lambda x: time.sleep(1000)).run()\n");
    const { child, ended } = start(["run", script, "--url", `redis://127.0.0.1:${setting().server.port}`]);
    await until(async () => (await executions(setting().client)).some(({ status }) => status === "running"));
    child.kill(signal);
    expect((await ended).code).toBe(status);
    expect(await executions(setting().client)).toEqual([]);
  });

  it("ends when all of a long output is written, however slowly it is read", async () => {
    const script = file(
      "long.py",
      "def lines():\n    for n in range(20000):\n        yield 'x' * 99\nGB('PythonReader').run(lines)\n",
    );
    const { child, ended, so } = start(["run", script, "--url", `redis://127.0.0.1:${setting().server.port}`]);
    child.stdout?.pause();
    await until(async () => (await executions(setting().client)).length === 1);
    await until(async () => (await executions(setting().client)).length === 0);
    child.stdout?.resume();
    expect((await ended).code).toBe(0);
    expect(so().out.length).toBe(2_000_000);
  });

  it.skipIf(!existsSync("/dev/full"))("says that its output could not be written", async () => {
    const command = `"${process.execPath}" "${PROGRAM}" types >/dev/full`;
    const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(/can not be written: ENOSPC/) });
  });

  it("takes a Ctrl-C that comes twice, because npx passes it on, for one", async () => {
    const script = file("sleeps.py", "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(60)).run()\n");
    const { child, ended, so } = start(["run", script, "--url", `redis://127.0.0.1:${setting().server.port}`]);
    await until(async () => (await executions(setting().client)).some(({ status }) => status === "running"));
    child.kill("SIGINT");
    await until(() => so().err.includes("aborting"));
    child.kill("SIGINT");
    expect((await ended).code).toBe(130);
    expect(await executions(setting().client)).toEqual([]);
  });

  it("works for a user without the right to PING, and says in a line what else is refused", async () => {
    const { client, server } = setting();
    await client.call("ACL", "SETUSER", "few", "on", ">few", "~*", "+eval", "+@read");
    const url = `redis://few:few@127.0.0.1:${server.port}`;
    const script = file("one.py", "GB('ShardsIDReader').run()\n");
    expect(await finish(["run", "--url", url, script])).toEqual({ code: 0, out: "1\n", err: "" });
    const wrong = await finish(["run", "--url", url.replace(":few@", ":many@"), script]);
    expect(wrong).toMatchObject({ code: 1, err: expect.stringMatching(/^regears: .*WRONGPASS .*\n$/) });
    await client.call("ACL", "DELUSER", "few");
  });

  it("runs the script again when it changes", async () => {
    const script = file("watched.py", "GB('CommandReader').map(lambda c: 'one').register(trigger='watched')\n");
    const url = `redis://127.0.0.1:${setting().server.port}`;
    const { child, ended, so } = start(["run", script, "--url", url, "--watch"]);
    const answer = (): Promise<unknown> =>
      setting()
        .client.call("RG.TRIGGER", "watched")
        .catch(() => []);
    await until(() => so().err.includes("watching"));
    expect(await answer()).toEqual(["one"]);
    // as editors do
    copyFileSync(file("next.py", "GB('CommandReader').map(lambda c: 'two').register(trigger='watched')\n"), script);
    await until(async () => String(await answer()) === "two");
    await until(() => so().err.split("watching").length === 3);
    file("watched.py", "nonsense(\n");
    await until(() => so().err.includes("SyntaxError"));
    child.kill("SIGINT");
    expect((await ended).code).toBe(0);
    expect(await answer()).toEqual(["two"]);
  });

  it("says what is wrong", async () => {
    expect(await run(join(folder, "nowhere.py"))).toMatchObject({ code: 2, err: expect.stringContaining("ENOENT") });
    expect(await run(WORD_COUNT, "--loadd", "x")).toMatchObject({
      ...{ code: 2, err: expect.stringContaining("'run' has no option '--loadd'") },
    });
    const dump = file("some.rdb", "REDIS0011");
    expect(await run(WORD_COUNT, "--load", dump)).toMatchObject({
      ...{ code: 2, err: expect.stringContaining("with --embedded only") },
    });
    expect(await finish(["run", WORD_COUNT, "--url", `redis://127.0.0.1:${await freePort()}`])).toMatchObject({
      ...{
        code: 1,
        err: expect.stringMatching(/^regears: redis:\/\/127.0.0.1:\d+\/0 can not be reached: .*ECONNREFUSED/),
      },
    });
    expect((await run(WORD_COUNT, "--embeded")).err).toContain("did you mean '--embedded'?");
    expect(await finish([WORD_COUNT])).toMatchObject({
      ...{ code: 2, err: expect.stringContaining(`regears run ${WORD_COUNT} runs it on a server`) },
    });
  });
});

describe("with a server of its own", () => {
  it("runs on commands, and shows what the script prints and logs", async () => {
    const script = file("says.py", "print('printed')\nlog('logged')\nGB().count().run()\n");
    const { code, out, err } = await finish(["run", script, "--embedded", "--load", commands]);
    expect({ code, out, lines: err.trim().split("\n").sort() }).toEqual({
      ...{ code: 0, out: "2\n", lines: ["logged", "printed"] },
    });
  });

  it("runs on a dump, which stays as it is", async () => {
    const data = join(folder, "data");
    mkdirSync(data);
    const filled = await finish(["exec", "--dir", data, "--load", commands, "--", "true"]);
    expect(filled.code).toBe(0);
    const dump = join(data, "dump.rdb");
    expect(await finish(["run", WORD_COUNT, "--embedded", "--load", dump])).toEqual({
      ...{ code: 0, err: "", out: "be 3\nto 2\nor 1\nnot 1\n" },
    });
  });

  it("takes the options of a server", async () => {
    const script = file("option.py", "GB('ShardsIDReader').map(lambda x: configGet('color')).run()\n");
    expect(await finish(["run", script, "--embedded", "--gears-option", "color=red"])).toMatchObject({ out: "red\n" });
    expect(await finish(["run", script, "--gears-option", "color=red"])).toMatchObject({
      ...{ code: 2, err: expect.stringContaining("is for --embedded only") },
    });
  });
});
