/** Interpreters that die: by a fatal error of Python, or because nothing else stops a script. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Client, callOnce, connectClient, withClient } from "../support/client.ts";
import type { RunningRegears } from "../support/regears.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

/** Hashing nested tuples recurses in C without a limit, so that the stack of WebAssembly ends first. */
const FATAL = `
x = None
for i in range(2000000):
    x = (x,)
hash(x)
`;
/** One call into C that never comes back and never looks for signals. */
const C_LOOP = `
import itertools
sum(itertools.repeat(1))
`;
/** Runs for a good second, step by step, in an interpreter of its own. */
const SLOW = `
import time
def numbers():
    for n in range(15):
        time.sleep(0.1)
        yield n
GB('PythonReader').count().run(numbers)
`;
const DIED = /the Python interpreter that ran this execution died: .*stack/;

endServersAfterEach();

let server: RunningRegears;
let client: Client;

async function start(args: readonly string[] = []): Promise<void> {
  server = await startServer(args);
  client = await connectClient(server.port);
}

/** Ids of the executions with a status. */
async function executions(status: string): Promise<string[]> {
  const all = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
  return all.filter((fields) => fields[3] === status).map((fields) => String(fields[1]));
}

async function statusOf(id: string): Promise<string> {
  const all = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
  return String(all.find((fields) => fields[1] === id)?.[3]);
}

describe("an interpreter that dies", () => {
  beforeEach(() => start());

  it("fails what it ran and nothing else, and is replaced", async () => {
    const slow = withClient(server.port, (other) => other.call("RG.PYEXECUTE", SLOW));
    await until(async () => (await executions("running")).length === 1, "the other script runs");
    expect(await errorOf(client.call("RG.PYEXECUTE", FATAL))).toMatch(DIED);
    expect(await client.call("PING")).toBe("PONG");
    expect(await slow).toEqual([["15"], []]);
    for (let i = 0; i < 5; i++) expect(await client.call("RG.PYEXECUTE", "x = 1")).toBe("OK");
    expect(await executions("running")).toEqual([]);
    expect(server.output()).toContain("a Python interpreter died and is replaced");
  });

  it("leaves its error with the execution that did not wait", async () => {
    const id = String(await client.call("RG.PYEXECUTE", FATAL, "UNBLOCKING"));
    expect(await errorOf(client.call("RG.GETRESULTSBLOCKING", id))).toMatch(DIED);
    expect(await errorOf(client.call("RG.GETRESULTS", id))).toMatch(DIED);
  });

  it("takes its registrations to the next one", async () => {
    const register = `
def body(r):
    if r[1] == 'die':
        x = None
        for i in range(2000000):
            x = (x,)
        hash(x)
    return r[1]
GB('CommandReader').map(body).register(trigger='body')
GB('KeysReader').foreach(lambda r: execute('INCR', 'counted')).register('key:*', mode='sync')
`;
    expect(await client.call("RG.PYEXECUTE", register)).toBe("OK");
    for (let round = 1; round <= 3; round++) {
      expect(await errorOf(client.call("RG.TRIGGER", "body", "die"))).toMatch(DIED);
      expect(await client.call("RG.TRIGGER", "body", "live")).toEqual(["live"]);
      expect(await client.call("SET", `key:${round}`, "x")).toBe("OK");
      await until(async () => (await client.call("GET", "counted")) === String(round), "the event is counted");
    }
  });
});

describe("an interpreter that dies inside atomic()", () => {
  // nothing but its death lets others in
  beforeEach(() => start(["--script-time-limit", "0"]));

  it("does not hold up the data", async () => {
    const script = FATAL.replace("hash(x)", "with atomic():\n    execute('SET', 'half', 'done')\n    hash(x)");
    expect(await errorOf(client.call("RG.PYEXECUTE", script))).toMatch(DIED);
    expect(await client.call("GET", "half")).toBe("done");
    expect(await client.call("SET", "half", "whole")).toBe("OK");
  });
});

describe("scripts that come at once", () => {
  beforeEach(() => start());

  it("run at once, in as many interpreters as there are threads", async () => {
    const wait =
      "import time\ndef wait(x):\n    while not execute('GET', 'go'): time.sleep(0.01)\nGB('ShardsIDReader').map(wait).run()";
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push(String(await client.call("RG.PYEXECUTE", wait, "UNBLOCKING")));
    await until(async () => (await executions("running")).length === 3, "three run");
    expect(await executions("running")).toEqual(ids.slice(0, 3));
    expect(await executions("created")).toEqual(ids.slice(3));
    await client.call("SET", "go", "1");
    for (const id of ids) expect(await client.call("RG.GETRESULTSBLOCKING", id)).toEqual([["None"], []]);
  });
});

describe("a script that nothing stops", () => {
  beforeEach(() => start());

  it("is ended with its interpreter; the others go on", async () => {
    const id = String(await client.call("RG.PYEXECUTE", C_LOOP, "UNBLOCKING"));
    await until(async () => (await statusOf(id)) === "running", "it runs");
    const slow = withClient(server.port, (other) => other.call("RG.PYEXECUTE", SLOW));
    expect(await client.call("RG.ABORTEXECUTION", id)).toBe("OK");
    expect(await errorOf(client.call("RG.GETRESULTS", id))).toMatch(/forcestopped|abort/i);
    expect(await slow).toEqual([["15"], []]);
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toEqual([["1"], []]);
  });

  it("can be seen and aborted when somebody waits for its body", async () => {
    for (const body of ["while True: pass", "import time\ntime.sleep(1000)", C_LOOP]) {
      const waiting = errorOf(withClient(server.port, (other) => other.call("RG.PYEXECUTE", body)));
      await until(async () => (await executions("running")).length === 1, "it is listed");
      const [id] = await executions("running");
      expect(await client.call("RG.ABORTEXECUTION", String(id))).toBe("OK");
      expect(await waiting).toMatch(/forcestopped|abort/i);
      expect(await client.call("RG.DUMPEXECUTIONS")).toEqual([]);
    }
    expect(await client.call("RG.PYEXECUTE", "import time\ntime.sleep(1.5)\nGB('ShardsIDReader').run()")).toEqual([
      ["1"],
      [],
    ]);
    expect(await client.call("RG.DUMPEXECUTIONS")).toEqual([]);
  });

  it("keeps the later scripts of its connection waiting for five seconds, and no longer", async () => {
    await client.call("RG.PYEXECUTE", "while True: pass", "UNBLOCKING");
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toEqual([["1"], []]);
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toEqual([["1"], []]);
  });

  it("gives the threads back, as often as it comes", async () => {
    for (let round = 0; round < 2; round++) {
      const ids: string[] = [];
      for (let i = 0; i < 3; i++) {
        ids.push(String(await callOnce(server.port, "RG.PYEXECUTE", C_LOOP, "UNBLOCKING")));
      }
      await until(async () => (await executions("running")).length === 3, "all run");
      const stopped = ids.map((id) => withClient(server.port, (other) => other.call("RG.ABORTEXECUTION", id)));
      expect(await Promise.all(stopped)).toEqual(["OK", "OK", "OK"]);
    }
    expect(await client.call("RG.PYEXECUTE", SLOW)).toEqual([["15"], []]);
  });
});

describe("memory", () => {
  beforeEach(() => start(["--python-memory-limit", "96mb"]));

  it("of an interpreter is not filled by long results", async () => {
    const long = "def long():\n    for n in range(800): yield str(n) * 70_000\nGB('PythonReader').run(long)";
    const id = String(await client.call("RG.PYEXECUTE", long, "UNBLOCKING"));
    const plan = async (): Promise<unknown[]> => {
      const [shard] = (await client.call("RG.GETEXECUTION", id)) as unknown[][];
      return shard?.[3] as unknown[];
    };
    await until(async () => (await plan())[1] === "done", "it ends");
    expect((await plan()).slice(6, 10)).toEqual(["results", 800, "errors", []]);
  });

  it("of a script ends with its limit, and the interpreter lives", async () => {
    const greedy = "x = []\nwhile True: x.append(bytearray(1 << 20))";
    for (let round = 0; round < 3; round++) {
      expect(await errorOf(client.call("RG.PYEXECUTE", greedy))).toMatch(/MemoryError/);
      expect(await client.call("RG.PYEXECUTE", "x = 1")).toBe("OK");
    }
  });
});
