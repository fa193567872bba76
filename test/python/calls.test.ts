/** What Python's calls leave behind when their interpreter dies, and what they show of the connection they go over. */
import { describe, expect, it } from "vitest";
import type { EngineClient } from "../../src/engine/engine-client.ts";
import { EngineCommand } from "../../src/engine/engine-commands.ts";
import { EngineGate } from "../../src/engine/engine-gate.ts";
import { PythonCalls, type PythonCallsOptions } from "../../src/python/python-calls.ts";
import type { CallContext, CallReply } from "../../src/python/python-host.ts";
import { shownTo } from "../../src/python/identity.ts";

function setUp() {
  const gate = new EngineGate();
  let opened = 0;
  const open = (): EngineClient => {
    opened++;
    const client = {
      ask: () => Buffer.from("+OK\r\n"),
    };
    return client as unknown as EngineClient;
  };
  const options = {
    connections: { open },
    engineCommands: { find: (name: string) => new EngineCommand(name, [Buffer.from(name), -1, [], 0, 0, 0]) },
    gate,
    path: { refusal: () => undefined, decide: () => undefined },
    rights: { isFree: () => true },
    maxIdleMs: () => 0,
  } as unknown as PythonCallsOptions;
  const calls = new PythonCalls(options);
  const home = {};
  const caller = { home, user: "bob", isGone: false as boolean, job: () => undefined } satisfies CallContext;
  const die = (): void => {
    caller.isGone = true;
    calls.onGone(home);
  };
  /** Code in the interpreter that belongs to no job runs a command. */
  const execute = async (args: readonly Buffer[]): Promise<CallReply> =>
    calls.handlers.execute(caller, { args: [...args], job: 0 });
  const enterAtomic = async (): Promise<CallReply> => calls.handlers.atomic(caller, { enter: 1, job: 0 });
  return { gate, die, execute, enterAtomic, opened: () => opened };
}

const SET = ["SET", "k", "v"].map((word) => Buffer.from(word));

describe("an interpreter that dies while its code waits for the engine", () => {
  it("has nothing carried out afterwards, and no connection", async () => {
    const { gate, die, execute, opened } = setUp();
    const other = {};
    await gate.hold(other);
    const waiting = execute(SET);
    die();
    gate.release(other);
    await expect(waiting).rejects.toThrow("ERR the Python interpreter has died");
    expect(opened()).toBe(0);
  });

  it("does not hold the engine afterwards", async () => {
    const { gate, die, enterAtomic } = setUp();
    const other = {};
    await gate.hold(other);
    const waiting = enterAtomic();
    die();
    gate.release(other);
    await waiting;
    expect(gate.held).toBe(false);
  });
});

describe("a script's identity", () => {
  const line = "id=7 addr= laddr= fd=4100 name= user=regears redir=-1 resp=2\n";
  const shown = (reply: string, ...args: string[]): string | undefined => {
    const words = args.map((word) => Buffer.from(word));
    return shownTo("bob", String(args[0]).toLowerCase(), words)?.(Buffer.from(reply)).toString();
  };

  it.each([
    [["ACL", "whoami"], "$7\r\nregears\r\n", "$3\r\nbob\r\n"],
    [["ACL", "WHOAMI", "x"], "-ERR wrong number of arguments\r\n", "-ERR wrong number of arguments\r\n"],
    [
      ["client", "INFO"],
      `$${line.length}\r\n${line}\r\n`,
      `$${line.length - 4}\r\n${line.replace("regears", "bob")}\r\n`,
    ],
    [["ACL", "GETUSER", "regears"], "*0\r\n", undefined],
    [["CLIENT", "LIST"], "$0\r\n\r\n", undefined],
    [["ECHO", "whoami"], "$6\r\nwhoami\r\n", undefined],
  ])("%j", (args, reply, expected) => {
    expect(shown(reply, ...args)).toBe(expected);
  });
});
