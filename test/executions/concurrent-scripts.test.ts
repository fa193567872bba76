/** Scripts that run at the same time and want the same names, and what sessions leave behind. */
import { describe, expect, it } from "vitest";
import { type Client, executions, fields, registrations, useServer, type Value } from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";

const setting = useServer();

/** Lets a script declare `register`, and answers when it has; it ends when the key `go` is there. */
async function begin(
  client: Client,
  watcher: Client,
  register: string,
  ...options: string[]
): Promise<{ reply: Promise<Value> }> {
  const wait = "while not execute('EXISTS', 'go'): time.sleep(0.01)";
  const script = `import time\n${register}\nexecute('SET', 'declared', '1')\n${wait}`;
  const reply = client.call("RG.PYEXECUTE", script, ...options);
  // it may fail before anybody waits for it
  reply.catch(() => {});
  await expect.poll(() => watcher.call("EXISTS", "declared")).toBe(1);
  return { reply };
}

describe("of two scripts at the same time", () => {
  const trigger = (text: string): string => `GB('CommandReader').map(lambda r: '${text}').register(trigger='t')`;
  const hook = "GB('CommandReader').map(lambda r: 'x').register(hook='echo')";

  it.each([
    ["trigger", trigger("a"), trigger("b"), "trigger already registered"],
    ["hook that is not sync", hook, hook, "Can not override a none sync registration"],
  ])("only the first to end gets a %s", async (_what, slow, quick, refusal) => {
    const { client, connect } = setting();
    const begun = await begin(await connect(), client, slow);
    expect(await client.call("RG.PYEXECUTE", quick)).toBe("OK");
    await client.call("SET", "go", "1");
    expect(await errorOf(begun.reply)).toBe(refusal);
    expect(await registrations(client)).toHaveLength(1);
  });

  it("only the first to end gets a session id", async () => {
    const { client, connect } = setting();
    const begun = await begin(await connect(), client, trigger("slow"), "ID", "app");
    const other = "GB('CommandReader').map(lambda r: 'quick').register(trigger='u')";
    expect(await client.call("RG.PYEXECUTE", other, "ID", "app")).toBe("OK");
    await client.call("SET", "go", "1");
    expect(await errorOf(begun.reply)).toBe("Session app already exists");
    expect(await registrations(client)).toHaveLength(1);
    expect(await client.call("RG.TRIGGER", "u")).toEqual(["quick"]);
  });

  it("that upgrade a session the last to end replaces what the first has made", async () => {
    const { client, connect } = setting();
    await client.call("RG.PYEXECUTE", trigger("old"), "ID", "app");
    const begun = await begin(await connect(), client, trigger("last"), "ID", "app", "UPGRADE");
    expect(await client.call("RG.PYEXECUTE", trigger("first"), "ID", "app", "UPGRADE")).toBe("OK");
    await client.call("SET", "go", "1");
    expect(await begun.reply).toBe("OK");
    expect(await registrations(client)).toHaveLength(1);
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["last"]);
    await expect.poll(() => client.call("RG.PYDUMPSESSIONS", "DEAD")).toEqual([]);
  });
});

describe("a session that was replaced", () => {
  it("is listed as dead until its stored executions are dropped", async () => {
    const { client } = setting();
    const script = "GB('CommandReader').register(trigger='t')";
    await client.call("RG.PYEXECUTE", `${script}\nGB('ShardsIDReader').run()`, "ID", "app");
    await expect.poll(() => executions(client)).toMatchObject([{ status: "done" }]);
    await client.call("RG.PYEXECUTE", script, "ID", "app", "UPGRADE");
    const dead = (await client.call("RG.PYDUMPSESSIONS", "DEAD")) as Value[];
    expect(dead.map(fields)).toMatchObject([{ ID: "app", refCount: 1, linked: "None", dead: "true" }]);
    const [stored] = await executions(client);
    expect(await client.call("RG.DROPEXECUTION", stored?.id ?? "")).toBe("OK");
    expect(await client.call("RG.PYDUMPSESSIONS", "DEAD")).toEqual([]);
  });
});
