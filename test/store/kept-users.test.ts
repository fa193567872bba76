/** Users of the embedded engine over restarts: the files, and what the engine is told. */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { parseUserLines } from "../../src/config.ts";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { InternalConnections } from "../../src/engine/internal-connections.ts";
import { DISK } from "../../src/store/disk.ts";
import { KeptUsers, type KeptUsersOptions, USERS_FILE } from "../../src/store/kept-users.ts";
import { findRedisServer, startRedisServer } from "../support/redis-server.ts";
import { Lines } from "./support.ts";
import { newFolder } from "../support/folders.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

interface Started {
  readonly users: KeptUsers;
  readonly client: EngineClient;
  readonly log: Lines;
  /** ACL LIST without the server's own user. */
  list(): Promise<string[]>;
  /** AUTH of a new client. */
  auth(password: string): Promise<string>;
}

type Given = Partial<Omit<KeptUsersOptions, "configured">> & { readonly lines?: readonly string[] };

/** An engine that has just started, with its users. */
async function start({ lines = [], ...given }: Given): Promise<Started> {
  const { requirepass = "" } = given;
  const engine = new EmbeddedEngine({ config: requirepass === "" ? {} : { requirepass } });
  await engine.start();
  stops.push(() => engine.stop());
  const connections = new InternalConnections(engine);
  await connections.start(requirepass);
  const log = new Lines();
  const users = new KeptUsers({
    ...{ directory: "", aclfile: "", requirepass, connections, log, onChange: () => {} },
    ...given,
    configured: parseUserLines(lines),
  });
  stops.unshift(() => users.close());
  await users.load();
  const client = connections.open();
  const list = async (): Promise<string[]> =>
    ((await client.call("ACL", "LIST")) as Buffer[]).map(String).filter((line) => !line.startsWith("user regears "));
  const auth = async (password: string): Promise<string> => {
    const other = new EngineClient(engine.connect());
    return other.call("AUTH", password).then(String, (error: Error) => error.message);
  };
  return { users, client, log, list, auth };
}

const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "it did not fail",
    (error: Error) => `${error.name}: ${error.message}`,
  );
const PASSWORD = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"; // b
const bob = `user bob on sanitize-payload #${PASSWORD} ~k* resetchannels -@all +get`;
const plainDefault = "user default on nopass sanitize-payload ~* &* +@all";

describe("users that are kept in a directory", () => {
  it("are there after a restart, with hashes only, in a file for its owner", async () => {
    const directory = newFolder();
    const { users, client } = await start({ directory });
    await client.call("ACL", "SETUSER", "bob", "on", ">b", "~k*", "+get", "(+set ~z*)");
    await client.call("ACL", "SETUSER", "gone", "on");
    await client.call("ACL", "DELUSER", "gone");
    await users.keep();
    const file = join(directory, USERS_FILE);
    expect(readFileSync(file, "latin1")).not.toMatch(/>b|regears on|gone/);
    if (process.platform !== "win32") expect(statSync(file).mode & 0o777).toBe(0o600);
    const again = await start({ directory });
    expect(await again.list()).toEqual([`${bob} (~z* resetchannels -@all +set)`, plainDefault]);
  });

  it("are all in the file when changes come at once", async () => {
    const directory = newFolder();
    const { users, client } = await start({ directory });
    const names = Array.from({ length: 50 }, (_, at) => `u${at}`);
    await Promise.all(
      names.map(async (name) => {
        await client.call("ACL", "SETUSER", name, "on");
        await users.keep();
        expect(readFileSync(join(directory, USERS_FILE), "latin1")).toContain(`user ${name} on`);
      }),
    );
    expect(await (await start({ directory })).list()).toHaveLength(51);
  });

  it("leave what the configuration says to the configuration", async () => {
    const directory = newFolder();
    const first = await start({ directory, requirepass: "one", lines: ["conf on >c ~* +@all"] });
    await first.client.call("ACL", "SETUSER", "bob", "on", ">b", "~k*", "+get");
    await first.client.call("ACL", "SETUSER", "conf", "off");
    await first.client.call("ACL", "SETUSER", "default", "-flushall");
    await first.users.keep();
    const second = await start({ directory, requirepass: "two", lines: ["conf on >c ~* +@all"] });
    const list = await second.list();
    expect(list).toContain(bob);
    expect(list.find((line) => line.startsWith("user conf "))).toContain(" on ");
    const now = String(list.find((line) => line.startsWith("user default ")));
    expect(now).toContain("-flushall");
    expect(now.match(/#/g)).toHaveLength(1);
    expect(await second.auth("two")).toBe("OK");
    expect(await second.auth("one")).toContain("WRONGPASS");
    // without the option and the line there is no password and no such user
    const third = await start({ directory });
    expect(await third.list()).toEqual([bob, `${plainDefault} -flushall`]);
  });

  it("keep a default user's own password and state", async () => {
    const directory = newFolder();
    const { users, client } = await start({ directory });
    await client.call("ACL", "SETUSER", "default", "resetpass", ">b", "off");
    await users.keep();
    expect(await (await start({ directory })).list()).toEqual([
      `user default off sanitize-payload #${PASSWORD} ~* &* +@all`,
    ]);
  });

  it.each([
    ["cut", (text: string) => text.slice(0, -7), "its checksum is wrong"],
    ["changed", (text: string) => text.replace("bob", "bxb"), "its checksum is wrong"],
    ["empty", () => "", "it is no file of users"],
    ["without its head", (text: string) => text.slice(text.indexOf("\n") + 1), "it is no file of users"],
  ])("keep the server from starting when their file is %s", async (_what, damage, why) => {
    const directory = newFolder();
    const { users, client } = await start({ directory });
    await client.call("ACL", "SETUSER", "bob", "on");
    await users.keep();
    const file = join(directory, USERS_FILE);
    writeFileSync(file, damage(readFileSync(file, "latin1")));
    const damaged = readFileSync(file);
    const text = await failure(start({ directory }));
    expect(text).toContain(`InternalError: the users in ${file} can not be used: ${why}`);
    expect(readFileSync(file)).toEqual(damaged);
    const repaired = await start({ directory, repair: true });
    expect(await repaired.list()).toEqual([plainDefault]);
    const aside = readdirSync(directory).find((name) => name.startsWith(`${USERS_FILE}.corrupt-`));
    expect(readFileSync(join(directory, aside ?? "none"))).toEqual(damaged);
  });

  it("answer that a disk failed, and are written when it works again", async () => {
    const directory = newFolder();
    let full = true;
    const disk = {
      ...DISK,
      open: ((...args: Parameters<typeof DISK.open>) =>
        full && String(args[0]).includes(USERS_FILE)
          ? Promise.reject(Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" }))
          : DISK.open(...args)) as typeof DISK.open,
    };
    const { users, client, log } = await start({ directory, disk, retryMs: 20 });
    await client.call("ACL", "SETUSER", "bob", "on");
    expect(await failure(users.keep())).toBe(
      "ReplyError: MISCONF the change is in effect, but a restart would undo it: ENOSPC: no space left on device",
    );
    expect(log.matching(/^error users can not be kept/)).toHaveLength(1);
    full = false;
    await expect.poll(() => log.matching(/^info users are kept again/)).toHaveLength(1);
    expect(await (await start({ directory })).list()).toHaveLength(2);
  });

  it.skipIf(process.platform === "win32" || process.getuid?.() === 0)("say that they can not be read", async () => {
    const directory = newFolder();
    const { users } = await start({ directory });
    await users.keep();
    chmodSync(join(directory, USERS_FILE), 0);
    expect(await failure(start({ directory }))).toContain("can not be read: EACCES");
  });
});

describe("an aclfile", () => {
  const TEXT = "user alice on >a ~* +@all\r\n\n  user bob on >b ~k* -@all  +get \n";

  it("is read at the start and by ACL LOAD, written by ACL SAVE, and wins over requirepass", async () => {
    const aclfile = join(newFolder(), "users.acl");
    writeFileSync(aclfile, TEXT);
    const { users, client, list, auth } = await start({ aclfile, directory: newFolder(), requirepass: "pw" });
    expect((await list()).map((line) => line.split(" ")[1])).toEqual(["alice", "bob", "default"]);
    expect(await auth("pw")).toBe("OK");
    await client.call("ACL", "SETUSER", "carl", "on");
    await users.keep();
    expect(readFileSync(aclfile, "latin1")).toBe(TEXT);
    await users.save();
    const saved = readFileSync(aclfile, "latin1");
    expect(saved.split("\n")).toContain(bob);
    expect(saved).not.toMatch(/>a|regears/);
    writeFileSync(aclfile, "user default on nopass ~* &* +@all -@dangerous\nuser carl off\n");
    await users.reload();
    expect((await list()).map((line) => line.slice(0, 16))).toEqual(["user carl off sa", "user default on "]);
    expect((await list())[1]).toContain("nopass");
  });

  it("with errors changes nothing", async () => {
    const aclfile = join(newFolder(), "users.acl");
    writeFileSync(aclfile, TEXT);
    const { users, list } = await start({ aclfile });
    const before = await list();
    for (const bad of ["user x\nuser x on\n", "user x off\nnonsense\n", "user bob off\nuser alice on foo\n"]) {
      writeFileSync(aclfile, bad);
      expect(await failure(users.reload())).toMatch(/^ReplyError: ERR .*no change to the previously active ACL rules/);
      expect(await list()).toEqual(before);
    }
    expect(await failure(start({ aclfile }))).toMatch(/^ConfigError: .*users\.acl:2/);
    expect(await failure(start({ aclfile: `${aclfile}.none` }))).toContain(
      "ConfigError: Error loading ACLs, opening file",
    );
  });

  const redis = findRedisServer();
  it.skipIf(!redis.path)(`has its errors in the words of redis-server${redis.skipped}`, async () => {
    const aclfile = join(newFolder(), "users.acl");
    writeFileSync(aclfile, "");
    const server = await startRedisServer(["--aclfile", aclfile]);
    const { users } = await start({ aclfile });
    const { connectClient } = await import("../support/client.ts");
    const client = await connectClient(server.port);
    try {
      writeFileSync(
        aclfile,
        "user alice on >pw ~* +@all\n\nuser bob on foo\nxuser\nuser\nuser alice on\n# comment\nuser cy +@foo\nuser ee #12\n",
      );
      const theirs = await client.call("ACL", "LOAD").catch((error: Error) => error.message);
      expect(await failure(users.reload())).toBe(`ReplyError: ${theirs}`);
    } finally {
      client.close();
      await server.stop();
    }
  });
});

describe("lines of the configuration", () => {
  it("define users anew at each start", async () => {
    const { list } = await start({ lines: ["bob on >b ~k* +get", "default off"] });
    expect(await list()).toEqual([bob, expect.stringMatching(/^user default off .*-@all$/)]);
  });

  it.each([
    [["bob on foo"], "ConfigError: user 'bob': Syntax error"],
    [
      ["bob +@nothing"],
      "ConfigError: user 'bob': Error in applying operation '+@nothing': Unknown command or category",
    ],
    [["regears on"], "ConfigError: user 'regears': the name is the server's own"],
    [["bob on", "bob off"], "ConfigError: user 'bob' is defined twice"],
    [['"a b" on'], "ConfigError: user 'a b': names have no spaces"],
  ])("that are wrong end the start: %j", async (lines, text) => {
    expect(await failure((async () => start({ lines }))())).toContain(text);
  });
});
