/** DEBUG of the embedded engine, and what CONFIG GET, INFO and BGSAVE say of it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { debugRefusal } from "../../src/engine/debug.ts";
import { type Client, connectClient } from "../support/client.ts";
import { connectPlain } from "../support/plain-client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

describe("DEBUG", () => {
  let server: RunningRegears;
  let client: Client;
  beforeAll(async () => {
    server = await startRegears(["--enable-debug-command", "local"]);
    client = await connectClient(server.port);
  }, 90_000);
  afterAll(() => server.stop());

  it("is the engine's, when it is enabled", async () => {
    expect(await client.call("CONFIG", "GET", "enable-debug-command")).toEqual(["enable-debug-command", "local"]);
    await client.call("SET", "k", "v");
    expect(await client.call("DEBUG", "OBJECT", "k")).toContain("encoding:embstr");
    expect(await client.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")).toBe("OK");
    expect(await client.call("debug", "set-active-expire", "1")).toBe("OK");
    await expect(client.call("DEBUG", "ERROR", "ERR my own")).rejects.toThrow("ERR my own");
    await expect(client.call("DEBUG", "OBJECT", "none")).rejects.toThrow("ERR no such key");
    await expect(client.call("DEBUG")).rejects.toThrow("wrong number of arguments");
    const begin = performance.now();
    expect(await client.call("DEBUG", "SLEEP", "0.2")).toBe("OK");
    expect(performance.now() - begin).toBeGreaterThan(190);
    expect(await client.call("DEBUG", "POPULATE", "100", "p", "10")).toBe("OK");
    expect(await client.call("DEBUG", "RELOAD")).toBe("OK");
    expect(await client.call("EXISTS", "p:99")).toBe(1);
  });

  it.each([
    ...["SEGFAULT", "PANIC", "ASSERT", "RESTART", "CRASH-AND-RECOVER", "OOM", "LOADAOF", "segfault"].map((word) => [
      word,
    ]),
    ["SET-SKIP-CHECKSUM-VALIDATION", "1"],
    ["POPULATE", "100000000"],
    ["POPULATE", "10", "p", "1000000000"],
    ["CONFIG-REWRITE-FORCE-ALL"],
  ])("%s is refused, to clients, in transactions and to scripts", async (...words) => {
    await expect(client.call("DEBUG", ...words)).rejects.toThrow("not available");
    await client.call("MULTI");
    await expect(client.call("DEBUG", ...words)).rejects.toThrow("not available");
    await expect(client.call("EXEC")).rejects.toThrow("EXECABORT");
    const args = ["DEBUG", ...words].map((word) => `'${word}'`).join(", ");
    const script = `GB('ShardsIDReader').map(lambda _: execute(${args})).run()`;
    const [, errors] = (await client.call("RG.PYEXECUTE", script)) as [unknown, string[]];
    expect(String(errors)).toContain("not available");
    expect(await client.call("PING")).toBe("PONG");
  });

  it("has Redis' words for subcommands that there are not", async () => {
    const text = (word: string): string =>
      `ERR unknown subcommand or wrong number of arguments for '${word.slice(0, 128)}'. Try DEBUG HELP.`;
    for (const word of ["FOO", "segfaults", "x".repeat(200)])
      await expect(client.call("DEBUG", word, "1")).rejects.toThrow(text(word));
    const script = `GB('ShardsIDReader').map(lambda _: execute('DEBUG', 'Foo')).run()`;
    const [, errors] = (await client.call("RG.PYEXECUTE", script)) as [unknown, string[]];
    expect(String(errors)).toContain(text("Foo"));
  });

  it("refuses all subcommands of the engine by name that it does not let through", async () => {
    const help = (await client.call("DEBUG", "HELP")) as string[];
    const names = help.flatMap((line) => /^([A-Z-]+)(?: |$)/.exec(line)?.[1] ?? []).slice(1);
    expect(names.length).toBeGreaterThan(30);
    const unknown = names.filter((name) =>
      debugRefusal(
        ["DEBUG", name].map((word) => Buffer.from(word)),
        true,
      )?.includes("unknown"),
    );
    expect(unknown).toEqual([]);
  });

  it("is refused to users without the right to it", async () => {
    await client.call("ACL", "SETUSER", "few", "on", "nopass", "~*", "+@all", "-debug");
    const few = await connectClient(server.port);
    await few.call("AUTH", "few", "x");
    for (const word of ["SLEEP", "SEGFAULT"]) await expect(few.call("DEBUG", word, "0")).rejects.toThrow("NOPERM");
    few.close();
  });
});

describe("without DEBUG and without a folder", () => {
  let server: RunningRegears;
  let client: Client;
  beforeAll(async () => {
    server = await startRegears(["--maxclients", "77", "--timeout", "3600"]);
    client = await connectClient(server.port);
  }, 90_000);
  afterAll(() => server.stop());

  it("DEBUG is refused in Redis' words", async () => {
    await expect(client.call("DEBUG", "SLEEP", "0")).rejects.toThrow(
      "ERR DEBUG command not allowed. If the enable-debug",
    );
    await expect(client.call("DEBUG")).rejects.toThrow("ERR wrong number of arguments for 'debug' command");
  });

  it("CONFIG GET shows what was configured", async () => {
    const shown = async (name: string): Promise<unknown> => ((await client.call("CONFIG", "GET", name)) as string[])[1];
    expect(await shown("port")).toBe(String(server.port));
    expect(await shown("bind")).toBe("127.0.0.1");
    expect(await shown("dir")).toBe(process.cwd());
    expect(await shown("timeout")).toBe("3600");
    expect(await shown("maxmemory")).toBe("0");
    expect(await client.call("CONFIG", "SET", "maxmemory", "100mb", "timeout", "0")).toBe("OK");
    expect(await shown("maxmemory")).toBe("104857600");
    expect(await shown("timeout")).toBe("0");
    expect(await client.call("INFO", "memory")).toContain("\r\nmaxmemory:104857600\r\n");
    expect(await client.call("CONFIG", "SET", "maxmemory", "0")).toBe("OK");
    expect(await shown("maxmemory")).toBe("0");
    for (const wrong of ["-1", "x", "99999999999"])
      await expect(client.call("CONFIG", "SET", "timeout", wrong)).rejects.toThrow("CONFIG SET failed");
    const range = "argument must be between 0 and 3221225472 inclusive";
    for (const tooMuch of ["5gb", "3221225473"])
      await expect(client.call("CONFIG", "SET", "maxmemory", tooMuch)).rejects.toThrow(range);
    await expect(client.call("CONFIG", "SET", "timeout", "5", "maxmemory", "5gb")).rejects.toThrow(range);
    expect(await shown("timeout")).toBe("0");
    await expect(client.call("CONFIG", "SET", "maxmemory", "much")).rejects.toThrow("CONFIG SET failed");
  });

  it("a script gets what a client gets", async () => {
    const asked =
      "str(execute('INFO', 'server', 'regears')), str(execute('CLIENT', 'LIST')), execute('COMMAND', 'INFO', 'rg.pyexecute')[0][0]";
    const script = `GB('ShardsIDReader').map(lambda _: [${asked}, str(execute('MODULE', 'LIST'))]).run()`;
    const [[shown]] = (await client.call("RG.PYEXECUTE", script)) as [string[], string[]];
    expect(shown).toContain(`tcp_port:${server.port}`);
    expect(shown).toContain("addr=127.0.0.1:");
    expect(shown).toContain("rg.pyexecute");
    expect(shown).toContain("'rg', 'ver', 10213");
    const refused = "GB('ShardsIDReader').map(lambda _: execute('REPLICAOF', '127.0.0.1', '1')).run()";
    const [, errors] = (await client.call("RG.PYEXECUTE", refused)) as [unknown, string[]];
    expect(String(errors)).toContain("ERR replication is not available through this server");
  });

  it("INFO tells of this server", async () => {
    const info = String(await client.call("INFO"));
    const fields = new Map([...info.matchAll(/^(\w+):(.*)\r$/gm)].map(([, name, value]) => [name, value]));
    expect(fields.get("tcp_port")).toBe(String(server.port));
    expect(fields.get("process_id")).toBe(String(server.process.pid));
    expect(fields.get("redis_mode")).toBe("standalone");
    expect(fields.get("arch_bits")).toBe("64");
    expect(fields.get("maxclients")).toBe("77");
    expect(fields.get("connected_clients")).toBe("1");
    expect(fields.get("maxmemory")).toBe("0");
    expect(Number(fields.get("used_cpu_sys"))).toBeGreaterThan(0);
    // where the engine believes to listen
    expect(info).not.toContain("listener0");
    expect(fields.get("executable")).toMatch(/regears\.js$/);
    expect(Number(fields.get("total_system_memory"))).toBeGreaterThan(1e8);
    expect(String(await client.call("INFO", "memory"))).toContain("maxmemory_human:0B\r\n");
  });

  it("BGSAVE and SAVE say why they can not", async () => {
    await expect(client.call("BGSAVE")).rejects.toThrow("ERR there is no folder to save to");
    await expect(client.call("SAVE")).rejects.toThrow("ERR there is no folder to save to");
    await client.call("MULTI");
    await client.call("BGSAVE");
    expect(String(await client.call("EXEC"))).toContain("there is no folder");
  });
});

it("`timeout` closes clients that do nothing, and those that never did; not those that wait or listen", async () => {
  const server = await startRegears(["--timeout", "1"]);
  try {
    const [silent, idle] = [await connectPlain(server.port), await connectPlain(server.port)];
    const [blocked, listens] = [await connectClient(server.port), await connectClient(server.port)];
    idle.send("PING");
    const waiting = blocked.call("BLPOP", "list", "0");
    await listens.call("SUBSCRIBE", "c");
    expect(await silent.readToEnd()).toBe("");
    expect(await idle.readToEnd()).toBe("+PONG\r\n");
    const control = await connectClient(server.port);
    expect(await control.call("RPUSH", "list", "a")).toBe(1);
    expect(await waiting).toEqual(["list", "a"]);
    expect(await control.call("PUBLISH", "c", "x")).toBe(1);
  } finally {
    await server.stop();
  }
}, 90_000);
