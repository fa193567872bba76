/** Lua scripts give the same whether the engine runs them by itself or so that registrations can look on. */
import { expect, it } from "vitest";
import { useServer } from "../support/use-server.ts";

const setting = useServer();

const SCRIPTS = [
  "return {1, 'a', {true, false}, 3.7}",
  "return {KEYS[1], ARGV[1], #KEYS}",
  "return redis.status_reply('fine')",
  "return redis.error_reply('MY error')",
  "return unknown",
  "error('boom')",
  "return redis.call('SET', 'k', 'v')",
  "return {redis.call('GET', 'k'), redis.call('GET', 'none'), redis.call('HGETALL', 'none')}",
  "return redis.call('INCR', 'k')",
  "return redis.pcall('INCR', 'k')",
  "return select(2, pcall(function() error('x') end))",
  "return redis.call('SET', 'k', true)",
  "return redis.call('SET', 'k', nil)",
  "return redis.call('SET', 'k')",
  "return redis.call()",
  "return redis.call('NOSUCH')",
  ...["0.1", "1/3", "-3", "1e15", "2^53", "1e17", "1e20", "1.5e-7"].map((n) => `return redis.call('ECHO', ${n})`),
  ...["1e15", "12345678901234"].map((n) => `redis.call('SET', 'n', 0) return redis.call('INCRBY', 'n', ${n})`),
  "#!lua\nreturn redis.call('PING')",
  "#!lua flags=allow-oom\nlocal a\nreturn a.b",
  "return redis.sha1hex('x') .. cjson.encode({1})",
];

it("what a script has selected holds to its end, whoever runs its commands", async () => {
  const { client } = setting();
  const at = async (database: string, key: string): Promise<unknown> => {
    await client.call("SELECT", database);
    const value = await client.call("GET", key);
    await client.call("SELECT", "0");
    return value;
  };
  const script = (before: string): string =>
    `redis.call('SELECT', 5) ${before} redis.call('SET', 'k', 'v') return redis.call('GET', 'k')`;
  await client.call("RG.PYEXECUTE", "GB('CommandReader').register(trigger='t', mode='sync')");
  const scripts = [script(""), script("redis.call('RG.TRIGGER', 't')"), script("redis.pcall('RG.TRIGGER', 't')")];
  for (const registers of [false, true]) {
    // with such a registration each command of a script is looked at
    if (registers) await client.call("RG.PYEXECUTE", "GB().register('other:*', mode='sync')");
    for (const one of scripts) {
      expect(await client.call("EVAL", one, "0")).toBe("v");
      expect([await at("5", "k"), await at("0", "k")]).toEqual(["v", null]);
      await client.call("FLUSHALL");
    }
  }
  const types = `redis.setresp(3) redis.call('HSET', 'h', 'a', '1') redis.call('RG.TRIGGER', 't')
    return type(redis.call('HGETALL', 'h').map)`;
  expect(await client.call("EVAL", types, "0")).toBe("table");
});

it.each(SCRIPTS)("%j", async (script) => {
  const { client } = setting();
  const run = (): Promise<unknown> =>
    client.call("EVAL", script, "1", "key", "arg").catch((error: Error) => error.message.replace(/ script: .*/, ""));
  await client.call("SET", "k", "before");
  const alone = await run();
  await client.call("SET", "k", "before");
  await client.call("RG.PYEXECUTE", "GB().register('other:*', mode='sync')");
  expect(await run()).toEqual(alone);
});
