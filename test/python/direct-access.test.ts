/** When interpreters may use the engine in their own threads, as far as clients' commands have a say in that. */
import { describe, expect, it } from "vitest";
import { EngineThreads } from "../../src/engine/engine-threads.ts";
import { DirectAccess } from "../../src/python/direct-access.ts";
import { callerOf, pathOf, sendThrough } from "../support/path.ts";

/** A thread, and clients who send commands to an engine that answers with `reply`. */
function scene(reply: string) {
  const threads = new EngineThreads({
    ...{
      module: {},
      memory: {},
      build: "",
      clockShift: new Float64Array(new SharedArrayBuffer(8)),
      commands: () => new Map(),
    },
    mayOpen: () => true,
    connect: () => ({ descriptor: 1, onClosing: () => {}, close: () => {} }),
  });
  const access = new DirectAccess({
    engine: { share: () => threads },
    engineCommands: { all: () => [] },
    connections: { lend: () => undefined },
    gate: { held: false, isOpenFor: () => true },
    path: { isActiveForPython: () => false },
    rights: { isFree: () => true },
    wantsEvents: () => false,
  });
  const path = pathOf(access.middleware);
  const thread = threads.add();
  const caller = { user: "default", useEngine: () => thread?.open() ?? false };
  return {
    /** May the thread use the engine after this command of a client? */
    async opensAfter(command: string): Promise<boolean> {
      const words = command.split(" ").map((word) => Buffer.from(word));
      await sendThrough(path, words, callerOf(), async () => Buffer.from(`${reply}\r\n`));
      access.consider(caller, {}, 0);
      return threads.hasOpen;
    },
  };
}

describe("the way to the engine", () => {
  it("is closed by CLIENT PAUSE, and opened again after CLIENT UNPAUSE", async () => {
    const { opensAfter } = scene("+OK");
    expect(await opensAfter("PING")).toBe(true);
    expect(await opensAfter("CLIENT PAUSE 100000 WRITE")).toBe(false);
    expect(await opensAfter("CLIENT LIST")).toBe(false);
    expect(await opensAfter("client unpause")).toBe(true);
  });

  it("stays closed when the engine refuses CLIENT UNPAUSE", async () => {
    const { opensAfter } = scene("-NOPERM no");
    expect(await opensAfter("CLIENT PAUSE 100000")).toBe(false);
    expect(await opensAfter("CLIENT UNPAUSE")).toBe(false);
  });
});
