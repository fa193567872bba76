/** RG.TOP: how far executions are. */
import { describe, expect, it } from "vitest";
import { fields, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer();
const top = async (...options: string[]): Promise<Record<string, Value>[]> =>
  ((await setting().client.call("RG.TOP", ...options)) as Value[]).map(fields);
/** Begins an execution. @returns its id */
const begin = async (script: string): Promise<string> =>
  String(await setting().client.call("RG.PYEXECUTE", script, "UNBLOCKING"));

describe("RG.TOP", () => {
  it("shows what runs, longest first, with what it belongs to", async () => {
    const { client } = setting();
    const script = "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(60)).filter(lambda r: r).run()";
    const first = await client.call("RG.PYEXECUTE", script, "UNBLOCKING", "ID", "sleeper", "DESCRIPTION", "sleeps");
    await until(async () => (await top()).some(({ place }) => place === "running"));
    const second = await begin(script);
    await until(async () => (await top()).length === 2);
    const [one, two] = await top();
    expect([one?.executionId, two?.executionId]).toEqual([first, second]);
    expect(one).toMatchObject({
      ...{ status: "running", place: "running", session: "sleeper", description: "sleeps", user: "default" },
      ...{ registration: null, results: 0, errors: 0, interpreter: 1, reader: "PythonReader" },
      steps: ["map", "filter", "text", "collect"],
    });
    expect(Number(one?.created)).toBeGreaterThan(Date.now() - 60_000);
    expect(Number(one?.memory_bytes)).toBeGreaterThan(1_000_000);
    expect(await top("COUNT", "1")).toHaveLength(1);
    for (const id of [first, second]) await client.call("RG.ABORTEXECUTION", id as string);
    expect(await top()).toEqual([]);
  });

  it("counts the time on, and stops at the end", async () => {
    const { client } = setting();
    const id = await begin("import time\nGB('ShardsIDReader').map(lambda r: time.sleep(60)).run()");
    const elapsed = async (): Promise<number> => Number((await top("ID", id))[0]?.elapsed_ms);
    await until(async () => (await elapsed()) > 20);
    await client.call("RG.ABORTEXECUTION", id);
    const [ended] = await top("ID", id);
    expect(ended).toMatchObject({ place: "ended", interpreter: null });
    const then = Date.now();
    await until(async () => Date.now() > then + 5);
    expect((await top("ID", id))[0]?.elapsed_ms).toBe(ended?.elapsed_ms);
  });

  it("with FINISHED shows the last ones that have ended, and names the registration of an event", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      "GB('KeysReader').foreach(lambda r: 1 / 0).register('k*')",
      "DESCRIPTION",
      "fails",
    );
    await client.call("SET", "k1", "1");
    const last = await until(async () =>
      (await top("FINISHED", "COUNT", "1")).find(
        ({ description, status }) => description === "fails" && status === "done",
      ),
    );
    const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
    expect(last).toMatchObject({ status: "done", errors: 1, registration: fields(registration).id });
  });

  it.each([
    [["COUNT", "0"], "ERR COUNT is a number from 1 to 10000"],
    [["COUNT"], "ERR syntax error"],
    [["ALL"], "ERR syntax error"],
    [["ID", "x"], "execution plan does not exist"],
  ])("%j: %s", async (options, message) => {
    await expect(top(...(options as string[]))).rejects.toThrow(message);
  });

  it("shows where Python is, and in which step, while it goes on", async () => {
    const { client } = setting();
    const script = [
      "def spin(r):",
      "    n = 0",
      "    while n < r * 10_000_000:",
      "        n += 1",
      "    return n",
      "def generate():",
      "    yield 100",
      "GB('PythonReader').map(lambda r: int(r)).map(spin).run(generate)",
    ].join("\n");
    const id = await begin(script);
    const seen = await until(async () => {
      const [one] = await top("ID", id);
      return typeof one?.stack === "string" && one.stack.includes("in spin") ? one : undefined;
    });
    expect(seen.stack).toMatch(/^File "<string>", line \d, in spin$/);
    expect(seen).toMatchObject({ step: 2, place: "running" });
    expect((await top("ID", id, "NOSTACK"))[0]?.stack).toBeNull();
    const again = await until(async () => (await top("ID", id))[0]);
    expect(again.executionId).toBe(id);
    await client.call("RG.ABORTEXECUTION", id);
    expect((await top("ID", id))[0]?.stack).toBeNull();
  });

  it("shows the stack of code that sleeps, waits for the engine, or runs in the body of a script", async () => {
    const { client } = setting();
    const slept = await begin("import time\ndef nap(r):\n    time.sleep(60)\nGB('ShardsIDReader').foreach(nap).run()");
    await until(async () => String((await top("ID", slept))[0]?.stack).includes("line 3, in nap"));
    await client.call("RG.ABORTEXECUTION", slept);
    const body = await begin("while True:\n    execute('GET', 'k')");
    await until(async () => String((await top("ID", body))[0]?.stack).includes('File "<string>", line 2, in <module>'));
    await client.call("RG.ABORTEXECUTION", body);
  });

  it("changes nothing of what runs, however often it is asked", async () => {
    const { client, connect } = setting();
    const other = await connect();
    const counting =
      "def all():\n    for n in range(20000):\n        yield n\n" +
      "GB('PythonReader').map(lambda r: execute('INCR', 'n')).filter(lambda r: r % 1000 == 0).run(all)";
    const running = client.call("RG.PYEXECUTE", counting);
    let over = false;
    void running.then(() => {
      over = true;
    });
    while (!over) await other.call("RG.TOP");
    const [results, errors] = (await running) as [string[], string[]];
    expect(errors).toEqual([]);
    expect(results).toEqual(Array.from({ length: 20 }, (_, n) => String((n + 1) * 1000)));
    expect(await client.call("GET", "n")).toBe("20000");
  });

  it("tells how many records were read also when the interpreter sends so many results that it can not be asked", async () => {
    const { client } = setting();
    const id = await begin(
      "def many():\n    n = 0\n    while n < 1000000:\n        yield n\n        n += 1\nGB('PythonReader').map(lambda n: n).run(many)",
    );
    const counted: Record<string, Value>[] = [];
    for (let seen: Record<string, Value> | undefined; seen?.place !== "ended"; ) {
      [seen] = await top("NOSTACK", "ID", id);
      if (seen && Number(seen.results) > 0) counted.push(seen);
    }
    expect(counted.length).toBeGreaterThan(1);
    // each record is a result
    for (const { records, results } of counted) expect(Number(records)).toBeGreaterThanOrEqual(Number(results));
    expect(counted.at(-1)).toMatchObject({ records: 1_000_000, results: 1_000_000 });
    await client.call("RG.DROPEXECUTION", id);
  });

  it.each([
    ["KeysReader", "GB().map(nap).run('key:*')"],
    ["KeysReader without values", "GB().map(nap).run('key:*', readValue=False)"],
    ["StreamReader", "GB('StreamReader').map(nap).run('stream')"],
    ["PythonReader", "GB('PythonReader').map(nap).run(lambda: numbers())"],
    ["KeysOnlyReader", "GB('KeysOnlyReader').map(nap).run('key:*')"],
  ])("counts what %s reads, of any execution and while it runs", async (_name, flow) => {
    const { client } = setting();
    for (let n = 0; n < 300; n++) {
      await client.call("SET", `key:${n}`, "x");
      await client.call("XADD", "stream", "*", "n", String(n));
    }
    const script = `import time\nnapped = [0]\ndef numbers():\n    for n in range(300): yield n\ndef nap(r):\n    napped[0] += 1\n    if napped[0] == 270: time.sleep(60)\n    return 1\n${flow}`;
    const id = await begin(script);
    const running = await until(async () => (await top("ID", id)).find(({ records }) => Number(records) >= 270));
    expect(running).toMatchObject({ records: 270, counts: [270], steps: ["map", "text", "collect"], step: 1 });
    await client.call("RG.ABORTEXECUTION", id);
    const whole = await begin(script.replace("== 270", "< 0"));
    await client.call("RG.GETRESULTSBLOCKING", whole);
    expect((await top("ID", whole))[0]).toMatchObject({ records: 300, counts: [300] });
  });

  it("counts the records of a count, of one that waits, and none of errors", async () => {
    const { client } = setting();
    for (let n = 0; n < 10; n++) await client.call("SET", `key:${n}`, "x");
    const counted = await begin("GB().count().run()");
    await client.call("RG.GETRESULTSBLOCKING", counted);
    expect((await top("ID", counted))[0]?.records).toBe(10);
    const wrong = await begin("def all():\n    yield 1\n    yield 2\n    1 / 0\nGB('PythonReader').run(all)");
    await client.call("RG.GETRESULTSBLOCKING", wrong);
    expect((await top("ID", wrong))[0]).toMatchObject({ records: 2, errors: 1 });
    const waits = await begin(
      "import asyncio\nasync def wait(r):\n    await asyncio.sleep(60)\nGB().map(wait).run('key:*')",
    );
    const waiting = await until(async () => (await top("ID", waits)).find(({ place }) => place === "waiting"));
    expect(waiting.records).toBeGreaterThan(0);
    await client.call("RG.ABORTEXECUTION", waits);
  });

  it("with profiling counts the records of each step", async () => {
    const { client } = setting();
    await client.call("RG.CONFIGSET", "ProfileExecutions", "1");
    const id = await begin(
      "def all():\n    for n in range(10):\n        yield n\nGB('PythonReader').filter(lambda r: r % 2).flatmap(lambda r: [r, r]).count().run(all)",
    );
    await client.call("RG.GETRESULTSBLOCKING", id);
    await client.call("RG.CONFIGSET", "ProfileExecutions", "0");
    const [one] = await top("ID", id);
    expect(one).toMatchObject({
      steps: ["filter", "flatmap", "count", "collect", "accumulate", "text", "collect"],
      counts: [10, 5, 10, 1, 1, 1, 1, 1],
    });
  });
});
