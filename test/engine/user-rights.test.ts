/** What the server believes of users' rights when the engine tells little. */
import { expect, it } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import type { EngineConnection } from "../../src/engine/engine.ts";
import { UserRights, type UserRightsOptions } from "../../src/engine/user-rights.ts";

const GETUSER = "GETUSER";
const ALL = "*4\r\n$8\r\ncommands\r\n$5\r\n+@all\r\n$4\r\nkeys\r\n$2\r\n~*\r\n";
const SOME = "*4\r\n$8\r\ncommands\r\n$5\r\n+@all\r\n$4\r\nkeys\r\n$4\r\n~a:*\r\n";
/** Redis 6: lists. */
const OLD_ALL =
  "*6\r\n$8\r\ncommands\r\n$5\r\n+@all\r\n$4\r\nkeys\r\n*1\r\n$1\r\n*\r\n$8\r\nchannels\r\n*1\r\n$1\r\n*\r\n";
const OLD_NO_CHANNELS =
  "*6\r\n$8\r\ncommands\r\n$5\r\n+@all\r\n$4\r\nkeys\r\n*1\r\n$1\r\n*\r\n$8\r\nchannels\r\n*0\r\n";

/** An engine that answers ACL GETUSER and ACL DRYRUN with what it is told; undefined: it is gone. */
function setUp(
  answers: { user: string | undefined; dryRun?: string | undefined },
  options: Partial<UserRightsOptions> = {},
) {
  const asked: string[] = [];
  const connect = (): EngineConnection => {
    const connection: EngineConnection = {
      onData: () => {},
      onDrain: () => {},
      onClose: () => {},
      pause: () => {},
      resume: () => {},
      close: () => {},
      write(bytes) {
        const text = Buffer.from(bytes).toString();
        asked.push(text.includes(GETUSER) ? "user" : "dryrun");
        const answer = text.includes(GETUSER) ? answers.user : answers.dryRun;
        setImmediate(() => (answer === undefined ? connection.onClose() : connection.onData(Buffer.from(answer))));
        return true;
      },
    };
    return connection;
  };
  const epoch = { value: 0 };
  const rights = new UserRights({
    open: () => new EngineClient(connect()),
    epoch,
    ownUser: "us",
    lifetimeMs: Number.POSITIVE_INFINITY,
    ...options,
  });
  return { rights, asked, epoch };
}

const GET = [Buffer.from("GET"), Buffer.from("a")];

it.each([
  ["a user with all rights", { user: ALL }, "bob", undefined],
  ["the same of Redis 6", { user: OLD_ALL }, "bob", undefined],
  ["a user who may", { user: SOME, dryRun: "+OK\r\n" }, "bob", undefined],
  ["a user who may not", { user: SOME, dryRun: "$4\r\nnono\r\n" }, "bob", "NOPERM nono"],
  [
    "a key",
    { user: SOME, dryRun: "$48\r\nUser b has no permissions to access the 'ab' key\r\n" },
    "bob",
    "NOPERM No permissions to access a key",
  ],
  ["a user who is gone", { user: "*-1\r\n" }, "bob", "NOPERM User 'bob' does not exist"],
  ["an engine without users", { user: "-ERR unknown command 'ACL'\r\n" }, "bob", undefined],
  [
    "an engine that does not tell us",
    { user: "-NOPERM no\r\n" },
    "bob",
    expect.stringMatching(/^NOPERM the engine does not/),
  ],
  ["an engine that does not tell us of ourselves", { user: "-NOPERM no\r\n" }, "us", undefined],
  [
    "an engine without DRYRUN",
    { user: OLD_NO_CHANNELS, dryRun: "-ERR Unknown subcommand or wrong number of arguments\r\n" },
    "bob",
    expect.stringMatching(/^NOPERM the engine does not/),
  ],
  ["an engine that is gone", { user: undefined }, "bob", "ERR engine is not reachable"],
])("judges %s", async (_what, answers, user, expected) => {
  const { rights } = setUp(answers);
  expect(await rights.refusal(user, GET)).toEqual(expected);
});

it("asks about a user with all rights once, until rights can have changed", async () => {
  let now = 0;
  const { rights, asked, epoch } = setUp({ user: ALL }, { lifetimeMs: 1000, now: () => now });
  await rights.refusal("bob", GET);
  expect(rights.refusal("bob", GET)).toBeUndefined();
  expect(rights.isFree("bob")).toBe(true);
  expect(asked).toEqual(["user"]);
  epoch.value++;
  await rights.refusal("bob", GET);
  now = 1001;
  await rights.refusal("bob", GET);
  expect(asked).toEqual(["user", "user", "user"]);
});

it("asks once about a command that is wanted again and again, until rights can have changed", async () => {
  const answers: { user: string; dryRun: string | undefined } = { user: SOME, dryRun: "$4\r\nnono\r\n" };
  const { rights, asked, epoch } = setUp(answers);
  const once = ["user", "dryrun"];
  expect(await rights.lastingRefusal("bob", GET)).toBe("NOPERM nono");
  expect(rights.lastingRefusal("bob", GET)).toBe("NOPERM nono");
  expect(asked).toEqual(once);
  answers.dryRun = "+OK\r\n";
  epoch.value++;
  expect(await rights.lastingRefusal("bob", GET)).toBeUndefined();
  expect(rights.lastingRefusal("bob", GET)).toBeUndefined();
  expect(asked).toEqual([...once, ...once]);
  epoch.value++;
  const overtaken = rights.lastingRefusal("bob", GET);
  epoch.value++;
  await overtaken;
  answers.dryRun = "$4\r\nnono\r\n";
  expect(await rights.lastingRefusal("bob", GET)).toBe("NOPERM nono");
  answers.dryRun = undefined;
  epoch.value++;
  expect(await rights.lastingRefusal("bob", GET)).toBe("ERR engine is not reachable");
  answers.dryRun = "+OK\r\n";
  expect(await rights.lastingRefusal("bob", GET)).toBeUndefined();
});

it("does not keep an answer that a change has overtaken", async () => {
  const { rights, asked, epoch } = setUp({ user: ALL });
  const first = rights.refusal("bob", GET);
  epoch.value++;
  await first;
  await rights.refusal("bob", GET);
  expect(asked).toEqual(["user", "user"]);
});

it("tries what a user with some rights wants each time, and refuses what could reach any key", async () => {
  const { rights, asked } = setUp({ user: SOME, dryRun: "+OK\r\n" });
  const words = (text: string): Buffer[] => text.split(" ").map((word) => Buffer.from(word));
  expect(await rights.refusalInStead("bob", GET)).toBeUndefined();
  expect(await rights.refusalInStead("bob", GET)).toBeUndefined();
  expect(asked).toEqual(["user", "dryrun", "dryrun"]);
  for (const command of ["eval x 0", "FCALL f 0", "sort a by b*", "SORT_RO a GET x*"]) {
    expect(await rights.refusalInStead("bob", words(command))).toMatch(/^NOPERM only a user with all rights/);
    expect(await rights.refusal("bob", words(command))).toBeUndefined();
  }
  expect(await rights.refusalInStead("bob", words("sort a alpha"))).toBeUndefined();
});
