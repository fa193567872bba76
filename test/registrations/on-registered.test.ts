/** onRegistered functions that do not end: their client is answered, and nobody else notices. */
import { describe, expect, it } from "vitest";
import { useServer } from "../support/use-server.ts";

const setting = useServer(["--script-time-limit", "300"]);

describe("an onRegistered that does not end", () => {
  it.each([
    ["a loop", "while True: pass"],
    ["a loop that swallows", "while True:\n        try: time.sleep(1)\n        except BaseException: pass"],
    // ends only with its interpreter, and must not begin again in the next one
    ["a loop in C", "sum(range(10**13))"],
  ])("is stopped, and the registration stands: %s", async (_title, loop) => {
    const { client, server } = setting();
    const script = `import time
def forever():
    execute('INCR', 'begun')
    ${loop}
GB('CommandReader').map(lambda r: 'here').register(trigger='t', onRegistered=forever)`;
    expect(await client.call("RG.PYEXECUTE", script)).toBe("OK");
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["here"]);
    expect(server.output()).toMatch(
      /onRegistered of registration 0+-\d+ is stopped: it runs longer than script-time-limit/,
    );
    expect(await client.call("GET", "begun")).toBe("1");
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()")).toEqual([["1"], []]);
  });

  it("may take its time when it ends", async () => {
    const { client } = setting();
    const script = `import time
ready = []
GB('CommandReader').map(lambda r: ready).register(trigger='t', onRegistered=lambda: (time.sleep(0.1), ready.append(1)))`;
    expect(await client.call("RG.PYEXECUTE", script)).toBe("OK");
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["[1]"]);
  });
});
