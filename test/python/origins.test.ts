/** Each line that a script logs or prints names whose it is. */
import { describe, expect, it } from "vitest";
import { Origins } from "../../src/python/origins.ts";
import { fields, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

type Line = Readonly<Record<string, unknown>>;

describe("lines of the log", () => {
  const setting = useServer(["--loglevel", "debug"]);
  const lineWith = (text: string): Promise<Line> =>
    until(() => {
      const line = setting()
        .server.output()
        .split("\n")
        .find((one) => one.includes(`"msg":"${text}"`) || one.includes(`"msg":"GEARS: ${text}"`));
      return line === undefined ? undefined : (JSON.parse(line) as Line);
    }, text);

  it.each([
    ["log", (text: string) => `log('${text}')`],
    ["print", (text: string) => `print('${text}')`],
  ])("%s names session, registration and execution", async (name, say) => {
    const { client } = setting();
    const id = `lines-${name}`;
    const step = (text: string): string => `def tell(r):\n    ${say(text)}\n    return r\n`;
    await client.call("RG.PYEXECUTE", say(`${name} in a body`), "ID", `${id}-1`);
    expect(await lineWith(`${name} in a body`)).toMatchObject({ session: `${id}-1` });
    const execution = await client.call(
      "RG.PYEXECUTE",
      `${step(`${name} in a step`)}GB('ShardsIDReader').map(tell).run()`,
      "UNBLOCKING",
      "ID",
      `${id}-2`,
    );
    expect(await lineWith(`${name} in a step`)).toMatchObject({ session: `${id}-2`, execution });
    await client.call(
      "RG.PYEXECUTE",
      `${step(`${name} of an event`)}GB('KeysReader').foreach(tell).register('${id}:*')`,
      "ID",
      `${id}-3`,
    );
    await client.call("SET", `${id}:1`, "x");
    const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
    const line = await lineWith(`${name} of an event`);
    expect(line).toMatchObject({ session: `${id}-3`, registration: fields(registration).id });
    expect(line.execution).toMatch(/^0{40}-\d+$/);
    await client.call("RG.UNREGISTERALL");
  });

  it("names the session of code that belongs to no execution", async () => {
    const { client } = setting();
    const script =
      "async def later():\n    await asyncio.sleep(0.05)\n    log('logged later')\n    print('printed later')\nrunCoroutine(later())";
    await client.call("RG.PYEXECUTE", script, "ID", "later");
    for (const text of ["logged later", "printed later"])
      expect(await lineWith(text)).toMatchObject({ session: "later" });
  });

  it("does not put together what two sessions print without ends of lines", async () => {
    const { client } = setting();
    await client.call("RG.PYEXECUTE", "print('first half', end='')", "ID", "first");
    await client.call("RG.PYEXECUTE", "print('second half')", "ID", "second");
    expect(await lineWith("first half")).toMatchObject({ session: "first" });
    expect(await lineWith("second half")).toMatchObject({ session: "second" });
  });
});

describe("what is remembered of who prints", () => {
  const job = (handle: number) =>
    ({ handle, session: { id: `session ${handle}` }, origin: { execution: String(handle) } }) as never;

  it("is the last jobs and sessions, and nothing of others", () => {
    const origins = new Origins();
    for (let n = 1; n <= 300; n++) {
      origins.lodged({ key: `${n}:s${n}`, id: `s${n}` } as never);
      origins.ended(job(n));
    }
    expect(origins.of(undefined, 300, 0)).toEqual({ session: "session 300", execution: "300" });
    expect(origins.of(undefined, 0, 300)).toEqual({ session: "s300" });
    expect(origins.of(undefined, 1, 1)).toEqual({});
    expect(origins.of(job(7), 7, 300)).toEqual({ session: "session 7", execution: "7" });
  });
});
