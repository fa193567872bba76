/** What a client may rely on between its own scripts, also when it does not wait for their results. */
import { describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { pingsDuring } from "../support/ping-probe.ts";
import { pidOf } from "../support/processes.ts";
import { startRegears } from "../support/regears.ts";
import { type Client, executions, useServer, type Value } from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";
import { newFolder } from "../support/folders.ts";

/** As often as it takes to see what happens now and then only. */
const ROUNDS = 200;

const setting = useServer(["--execution-threads", "3"]);

const unblocking = async (client: Client, script: string, ...options: string[]): Promise<string> =>
  String(await client.call("RG.PYEXECUTE", script, ...options, "UNBLOCKING"));

/**
 * The same, with what is to hold from then on. On a busy machine a body can take longer than its client has to wait, and then
 * nothing is promised: such a round does not count.
 * @returns undefined for a round that does not count
 */
async function whenInForce<T>(client: Client, script: string, look: () => Promise<T>): Promise<T | undefined> {
  const start = performance.now();
  await unblocking(client, script);
  return performance.now() - start < 190 ? look() : undefined;
}

const statuses = async (client: Client, ids: readonly string[]): Promise<(string | undefined)[]> => {
  const all = await executions(client);
  return ids.map((wanted) => all.find(({ id }) => id === wanted)?.status);
};

/** Runs until the key `go` is there. */
const LONG = "import time\nexecute('SET', 'running', '1')\nwhile not execute('EXISTS', 'go'): time.sleep(0.01)\n";

describe("scripts of one connection", () => {
  it("begin in the order in which they were sent", { timeout: 120_000 }, async () => {
    const { client } = setting();
    const wrong: Value[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const ids: string[] = [];
      for (const value of ["1", "2"]) {
        ids.push(await unblocking(client, `execute('SET', 'k', '${value}')\nGB('ShardsIDReader').run()`));
      }
      for (const id of ids) await client.call("RG.GETRESULTSBLOCKING", id);
      if ((await client.call("GET", "k")) !== "2") wrong.push(round);
    }
    expect(wrong).toEqual([]);
  });

  it("find what the earlier ones have registered", { timeout: 120_000 }, async () => {
    const { client } = setting();
    const register = "GB('CommandReader').map(lambda r: '%').register(trigger='t')";
    const failed: Value[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const ids = [
        await unblocking(client, register.replace("%", "first"), "ID", "s"),
        await unblocking(client, register.replace("%", "second"), "ID", "s", "UPGRADE"),
        await unblocking(client, register.replace("%", "third"), "ID", "r", "REPLACE_WITH", "s"),
      ];
      const outcomes = await Promise.all(ids.map((id) => client.call("RG.GETRESULTSBLOCKING", id).catch(String)));
      const reply = await client.call("RG.TRIGGER", "t").catch(String);
      if (String([...outcomes, reply]) !== "OK,OK,OK,third") failed.push([...outcomes, reply]);
      await client.call("RG.UNREGISTERALL");
    }
    expect(failed).toEqual([]);
  });

  it("find it also when the earlier ones take long, and are refused only then", async () => {
    const { client, connect } = setting();
    const other = await connect();
    const register = "GB('CommandReader').register(trigger='t')";
    const first = await unblocking(client, LONG + register, "ID", "s");
    const [again, replaced] = [
      await unblocking(client, register, "ID", "s"),
      await unblocking(client, register, "ID", "r", "REPLACE_WITH", "s"),
    ];
    // a script that its client waits for comes in the same order
    const last = client.call("RG.PYEXECUTE", register.replace("'t'", "'u'"), "ID", "r");
    await other.call("SET", "go", "1");
    expect(await errorOf(last)).toBe("Session r already exists");
    expect(await other.call("RG.GETRESULTSBLOCKING", first)).toBe("OK");
    expect(await errorOf(other.call("RG.GETRESULTSBLOCKING", again))).toBe("Session s already exists");
    expect(await other.call("RG.GETRESULTSBLOCKING", replaced)).toBe("OK");
    expect(await statuses(other, [first, again, replaced])).toEqual(["done", "done", "done"]);
  });

  it("that wait for their turn can be seen and aborted, and hold nobody else up", async () => {
    const { client, connect } = setting();
    const other = await connect();
    const ids = [await unblocking(client, LONG)];
    for (const value of ["2", "3"]) ids.push(await unblocking(client, `execute('RPUSH', 'list', '${value}')`));
    expect(await statuses(other, ids)).toEqual(["running", "created", "created"]);
    expect(await other.call("RG.ABORTEXECUTION", ids[1] ?? "")).toBe("OK");
    expect(await other.call("RG.PYEXECUTE", "execute('RPUSH', 'list', 'other')")).toBe("OK");
    await other.call("SET", "go", "1");
    expect(await other.call("RG.GETRESULTSBLOCKING", ids[2] ?? "")).toBe("OK");
    expect(await other.call("LRANGE", "list", "0", "-1")).toEqual(["other", "3"]);
    expect(await statuses(other, ids)).toEqual(["done", "aborted", "done"]);
  });

  it("go on in their order when the client has gone", async () => {
    const { client, connect } = setting();
    const leaving = await connect();
    const ids = [await unblocking(leaving, LONG)];
    for (const value of ["1", "2", "3"]) ids.push(await unblocking(leaving, `execute('RPUSH', 'list', '${value}')`));
    leaving.close();
    await client.call("SET", "go", "1");
    for (const id of ids) expect(await client.call("RG.GETRESULTSBLOCKING", id)).toBe("OK");
    expect(await client.call("LRANGE", "list", "0", "-1")).toEqual(["1", "2", "3"]);
  });
});

describe("UNBLOCKING", () => {
  it("answers when what the script registers is in force", { timeout: 120_000 }, async () => {
    const { client } = setting();
    const failed: Value[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const script = "GB('CommandReader').map(lambda r: 'here').register(trigger='t')";
      const reply = await whenInForce(client, script, () => client.call("RG.TRIGGER", "t").catch(String));
      if (reply !== undefined && String(reply) !== "here") failed.push(reply);
      await client.call("RG.UNREGISTERALL");
    }
    expect(failed).toEqual([]);
  });

  it("answers when a sync registration sees all events", { timeout: 120_000 }, async () => {
    const { client, connect } = setting();
    const other = await connect();
    const write = (_: unknown, i: number): Promise<Value> => (i % 2 ? client : other).call("SET", `key:${i}`, "v");
    for (let round = 0; round < 20; round++) {
      const script = "GB().foreach(lambda r: execute('INCR', 'seen')).register('key:*', mode='sync')";
      const seen = await whenInForce(client, script, async () => {
        await Promise.all(Array.from({ length: 20 }, write));
        return client.call("GET", "seen");
      });
      expect(seen ?? "20").toBe("20");
      await client.call("RG.UNREGISTERALL");
      await client.call("DEL", "seen");
    }
  });

  it("answers after a moment when the body takes long; others are served meanwhile", async () => {
    const { client, server, connect } = setting();
    const other = await connect();
    let took = 0;
    const { result: id, pings } = await pingsDuring(
      server.port,
      async () => {
        const started = performance.now();
        // what the same client has sent behind it keeps its place
        const [first, echo] = await Promise.all([
          unblocking(client, `${LONG}raise ValueError('late')`),
          client.call("ECHO", "next"),
        ]);
        took = performance.now() - started;
        expect(echo).toBe("next");
        return first;
      },
      pidOf(server),
    );
    expect(await errorOf(other.call("RG.GETRESULTS", id))).toBe("execution is still running");
    await other.call("SET", "go", "1");
    expect(await errorOf(other.call("RG.GETRESULTSBLOCKING", id))).toContain("ValueError: late");
    expect(pings.heldMs).toBeLessThan(100);
    expect(took).toBeGreaterThan(190);
  });

  it("answers an id also for a script that fails, and refuses directly what is no matter of the script", async () => {
    const { client } = setting();
    const id = await unblocking(client, "1/0");
    // its body is over: the result is there
    expect(await errorOf(client.call("RG.GETRESULTS", id))).toContain("division by zero");
    await client.call("RG.PYEXECUTE", "GB('CommandReader').register(trigger='t')", "ID", "s");
    const before = await executions(client);
    expect(await errorOf(unblocking(client, "1", "ID", "s"))).toBe("Session s already exists");
    expect(await errorOf(unblocking(client, "1", "REPLACE_WITH", "no"))).toBe(
      "Can not replace with no, session does not exists.",
    );
    expect(await executions(client)).toEqual(before);
  });
});

describe("UNBLOCKING with a directory", () => {
  const directory = newFolder();

  it("answers when what the script registers is on disk", { timeout: 120_000 }, async () => {
    const first = await startRegears(["--dir", directory]);
    let client = await connectClient(first.port);
    let kept: string | undefined;
    for (let round = 0; kept === undefined && round < 50; round++) {
      const script = `GB('CommandReader').register(trigger='t${round}')`;
      kept = await whenInForce(client, script, async () => {
        first.process.kill("SIGKILL");
        return `t${round}`;
      });
    }
    client.close();
    await first.exited;
    const second = await startRegears(["--dir", directory]);
    client = await connectClient(second.port);
    expect(await client.call("RG.TRIGGER", String(kept)).catch(String)).toEqual([`['${kept}']`]);
    client.close();
    await second.stop();
  });
});
