/** Users survive: whoever changes them, and however the server ends. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { type RunningRegears, runRegears, startRegears } from "../support/regears.ts";
import { errorOf } from "../support/errors.ts";
import { newFolder } from "../support/folders.ts";

const stops: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function start(...args: string[]): Promise<{ server: RunningRegears; client: Client }> {
  const server = await startRegears(args);
  stops.unshift(() => server.stop("SIGKILL"));
  return { server, client: await connectClient(server.port) };
}
const as = async (port: number, user: string, password: string): Promise<Client> => {
  const client = await connectClient(port);
  await client.call("AUTH", user, password);
  return client;
};

describe("users and `dir`", () => {
  it("survive a kill right after the reply, by whatever way they were changed", async () => {
    const dir = newFolder();
    const first = await start("--dir", dir);
    const { client } = first;
    await client.call("ACL", "SETUSER", "bob", "on", ">b", "~*", "&*", "+@all", "-set", "-@admin", "-@dangerous");
    await client.call("ACL", "SETUSER", "old", "on");
    const bob = await as(first.server.port, "bob", "b");
    const script = "GB('CommandReader').map(lambda c: execute('SET', 'secret', 'x')).register(trigger='write')";
    await bob.call("RG.PYEXECUTE", script);
    await client.call("RG.PYEXECUTE", "execute('ACL', 'SETUSER', 'by-python', 'on')");
    const trigger = "GB('CommandReader').map(lambda c: execute('ACL', 'DELUSER', c[1])).register(trigger='del')";
    await client.call("RG.PYEXECUTE", trigger);
    expect(await client.call("RG.TRIGGER", "del", "old")).toEqual(["1"]);
    const hook = "GB('CommandReader').map(lambda c: call_next(*c[1:])).register(hook='acl', mode='async_local')";
    await client.call("RG.PYEXECUTE", hook, "ID", "hooks");
    await client.call("ACL", "SETUSER", "by-hook", "on");
    await client.call("RG.PYEXECUTE", "GB('CommandReader').register(trigger='none')", "ID", "hooks", "UPGRADE");
    expect(await errorOf(client.call("EVAL", "return redis.call('ACL', 'SETUSER', 'by-lua')", "0"))).toMatch(
      /not allowed/,
    );
    await client.call("MULTI");
    await client.call("ACL", "SETUSER", "by-multi", "on");
    await client.call("ACL", "USERS");
    expect(await client.call("EXEC")).toEqual(["OK", ["bob", "by-hook", "by-multi", "by-python", "default"]]);
    first.server.process.kill("SIGKILL");
    await first.server.exited;

    const again = await start("--dir", dir);
    expect(await again.client.call("ACL", "USERS")).toEqual(["bob", "by-hook", "by-multi", "by-python", "default"]);
    // the registration acts as its user, who has the rights that he had
    expect(await errorOf(again.client.call("RG.TRIGGER", "write"))).toMatch(/NOPERM.*set/s);
    const sameBob = await as(again.server.port, "bob", "b");
    expect(await errorOf(sameBob.call("SET", "k", "v"))).toContain("NOPERM");
    expect(await sameBob.call("GET", "secret")).toBeNull();
    for (const words of [
      ["SETUSER", "regears", "off"],
      ["DELUSER", "bob", "regears"],
    ]) {
      expect(await errorOf(again.client.call("ACL", ...words))).toBe("ERR the user 'regears' is the server's own");
      const script = `execute('ACL', ${words.map((word) => `'${word}'`).join(", ")})`;
      expect(await errorOf(again.client.call("RG.PYEXECUTE", script))).toContain("is the server's own");
    }
    expect(String(await again.client.call("ACL", "LIST"))).not.toContain("regears");
    expect(await again.client.call("ACL", "SAVE")).toBe("OK");
    expect(await again.client.call("ACL", "LOAD")).toBe("OK");
    await again.client.call("CONFIG", "SET", "requirepass", "later", "notify-keyspace-events", "K");
    expect(await again.client.call("CONFIG", "GET", "notify-keyspace-events")).toEqual(["notify-keyspace-events", "K"]);
    // a disk that fails is told, and the change is in effect
    rmSync(dir, { recursive: true });
    expect(await errorOf(again.client.call("ACL", "SETUSER", "bob", "off"))).toMatch(
      /^MISCONF the change is in effect/,
    );
    expect(await errorOf(as(again.server.port, "bob", "b").then(() => ""))).toContain("WRONGPASS");
  });

  it("keep their server from starting when their file is damaged", async () => {
    const dir = newFolder();
    writeFileSync(join(dir, "regears-users.acl"), "user bob on nopass ~* +@all\n");
    const { exited, output } = runRegears(["--port", "0", "--dir", dir]);
    expect(await exited).toBe(1);
    expect(output()).toContain("regears-users.acl can not be used: it is no file of users");
  });
});

describe("an aclfile", () => {
  it("is read and written as Redis does", async () => {
    const folder = newFolder();
    writeFileSync(join(folder, "users.acl"), "user bob on >b ~* &* +@all\n");
    const { server, client } = await start("--aclfile", join(folder, "users.acl"));
    expect(await client.call("CONFIG", "GET", "aclfile")).toEqual(["aclfile", join(folder, "users.acl")]);
    const bob = await as(server.port, "bob", "b");
    expect(await bob.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toEqual([["1"], []]);
    writeFileSync(join(folder, "users.acl"), "user bob on >b ~* &* +@all -rg.pyexecute -eval\nuser x foo\n");
    expect(await errorOf(client.call("ACL", "LOAD"))).toContain("users.acl:2: Syntax error.");
    expect(await bob.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toEqual([["1"], []]);
    writeFileSync(join(folder, "users.acl"), "user bob on >b ~* &* +@all -eval\n");
    expect(await client.call("ACL", "LOAD")).toBe("OK");
    expect(await errorOf(bob.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()"))).toContain("NOPERM");
    expect(await errorOf(bob.call("ACL", "LOAD", "x"))).toContain("wrong number of arguments");
    expect(await client.call("RG.PYEXECUTE", "execute('ACL', 'SAVE')")).toBe("OK");
  });
});

describe("users and interpreters", () => {
  it("register though those of another user are in all interpreters", async () => {
    const { server, client } = await start("--execution-threads", "2");
    await client.call("ACL", "SETUSER", "bob", "on", ">b", "~*", "&*", "+@all");
    const others = await Promise.all([1, 2, 3].map(() => connectClient(server.port)));
    // each waits for the others, and so has an interpreter of its own
    const together = (name: string): string => `
import time
execute('INCR', 'begun')
while int(execute('GET', 'begun')) < 3: time.sleep(0.01)
GB('CommandReader').map(lambda x: 1).register(trigger='${name}')`;
    await Promise.all(others.map((other, at) => other.call("RG.PYEXECUTE", together(`w${at}`))));
    const bob = await as(server.port, "bob", "b");
    const code = "GB('CommandReader').map(lambda x: 'of bob').register(trigger='b')";
    expect(await bob.call("RG.PYEXECUTE", code)).toBe("OK");
    expect(await bob.call("RG.TRIGGER", "b")).toEqual(["of bob"]);
  });
});
