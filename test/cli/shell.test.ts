/** `regears shell`: what is typed is evaluated on the server. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newFolder } from "../support/folders.ts";
import { executions, registrations, useServer } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";
import { finish, PROGRAM } from "./program.ts";

const hasTerminal = spawnSync("script", ["--version"]).status === 0;

describe("regears shell", () => {
  const setting = useServer();
  const type = (...lines: string[]) =>
    finish(["shell", "--url", `redis://127.0.0.1:${setting().server.port}`], { input: lines.join("\n") });

  it("keeps names, shows values, waits for runs, and leaves nothing behind", async () => {
    const typed = ["x = 20", "x + 1", "_ * 2", "execute('SET', 'a', x)", "print('x is', x)", "log('noted')", "None"];
    const flow = "GB().map(lambda r: int(r['value']) + x).run()";
    expect(await type(...typed, flow, "[results, errors] = await GB().count().run()", "results")).toEqual({
      code: 0,
      out: "21\n42\n'OK'\nx is 20\nnotice: noted\n[['40'], []]\n['1']\n",
      err: "",
    });
    expect(await registrations(setting().client)).toEqual([]);
    expect(setting().server.output()).toContain("GEARS: noted");
  });

  it("takes statements of several lines", async () => {
    const typed = [
      "def twice(n):",
      "    m = n + n",
      "    return m",
      "twice(4)",
      "if twice(1) == 3:",
      "    1",
      "else:",
      "    2",
    ];
    expect(await type(...typed, "[", "5,", "]")).toEqual({ code: 0, out: "8\n2\n[5]\n", err: "" });
  });

  it.each([
    ["SIGHUP", 129],
    ["SIGTERM", 143],
  ] as const)("%s ends it, and what runs, and leaves nothing behind", async (signal, status) => {
    const shell = spawn(process.execPath, [PROGRAM, "shell", "--url", `redis://127.0.0.1:${setting().server.port}`]);
    const ended = new Promise((resolve) => shell.once("close", resolve));
    shell.stdin.write("import time\ntime.sleep(1000)\n");
    await until(async () => (await executions(setting().client)).some(({ status: now }) => now === "running"));
    shell.kill(signal);
    expect(await ended).toBe(status);
    expect(await registrations(setting().client)).toEqual([]);
    expect(await executions(setting().client)).toEqual([]);
  });

  it("shows errors with the lines that were typed, and goes on", async () => {
    const { code, out, err } = await type("def fail():", "    return 1 / 0", "", "fail()", "x x", "'still here'");
    expect({ code, out }).toEqual({ code: 1, out: "'still here'\n" });
    expect(err).toContain('File "<shell-1>", line 2, in fail\n    return 1 / 0\n');
    expect(err).toContain("ZeroDivisionError: division by zero\n");
    const refused = await type("execute('NOTHING')");
    expect(refused.err).toMatch(
      /^Traceback .*\n {2}File "<shell-1>", line 1, in <module>\n.*\n.*\ngears\.error: No such file or directory\n$/,
    );
    expect(refused.err).not.toContain("<regears>");
    expect(err).toContain("SyntaxError: invalid syntax\n");
  });

  it("registers what is registered there for good", async () => {
    const typed = [
      "def answer(call):",
      "    return call[1] + '!'",
      "",
      "GB('CommandReader').map(answer).register(trigger='t')",
    ];
    expect((await type(...typed)).code).toBe(0);
    expect(await setting().client.call("RG.TRIGGER", "t", "hey")).toEqual(["hey!"]);
  });

  it.skipIf(!hasTerminal)("on a terminal completes names, keeps a history, and aborts at Ctrl-C", async () => {
    const { client } = setting();
    const home = newFolder();
    const command = `${process.execPath} ${PROGRAM} shell --url redis://127.0.0.1:${setting().server.port}`;
    const env = { ...process.env, HOME: home, TERM: "xterm" };
    const child = spawn("script", ["-qfec", command, "/dev/null"], { env, stdio: ["pipe", "pipe", "inherit"] });
    let shown = "";
    child.stdout.on("data", (bytes: Buffer) => {
      shown += bytes;
    });
    const ended = new Promise((resolve) => child.once("close", resolve));
    const type = async (text: string, seen: string): Promise<void> => {
      shown = "";
      child.stdin.write(text);
      await until(() => shown.includes(seen), seen);
    };
    await until(() => shown.includes(">>> "));
    await type("execu", "execu");
    await type("\t", "te");
    await type("('PING')\r", "'PONG'");
    await type("GB().fl", "GB().fl");
    await type("\t", "atmap");
    await type("\x03", ">>> ");
    await type("import time; time.sleep(1000)\r", "sleep");
    await until(async () => (await executions(setting().client)).some(({ status }) => status === "running"));
    await type("\x03", "the execution was aborted");
    await type("6 * 7\r", "42");
    // what an input has started ends with it, and names stay
    await client.call("MSET", ...Array.from({ length: 2000 }, (_, n) => [`k:${n}`, "x"]).flat());
    await type("f = GB().map(lambda r: time.sleep(0.01)).run('k:*')\r", "k:*");
    await until(async () => (await executions(client)).filter(({ status }) => status === "running").length >= 2);
    await type("\x03", "the execution was aborted");
    await type("time.__name__\r", "'time'");
    expect(await client.call("RG.INFO")).toContain("interpreter_restarts_total_unstoppable:0");
    child.stdin.write("\x04");
    await ended;
    expect(readFileSync(join(home, ".regears_history"), "utf8").split("\n")).toContain("execute('PING')");
  });
});
