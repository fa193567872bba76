/**
 * Events of `sync` registrations whose records have the values of their keys, or whose keys have to be of certain types: the same
 * random commands one by one, and in a pipeline, which an interpreter carries out together with the events.
 */
import { describe, expect, it } from "vitest";
import { HOW, inChunks } from "../support/chunks.ts";
import { random } from "../support/random.ts";
import { registrations, useServer, type Value } from "../support/use-server.ts";

const setting = useServer();
const COUNT = 120;
const LONG = "x".repeat(3_000);

type Word = string | Buffer;
type Command = readonly [Word, ...Word[]];

const HEAD = [...HOW, "def log(name, r): how(); execute('RPUSH', 'log', name + ' ' + repr(r))"];

/** Lines that register a function that notes its records under a name. */
const noting = (name: string, options: string, prefix = "k:*"): string =>
  `GB().foreach(lambda r: log('${name}', r)).register('${prefix}', mode='sync'${options})`;

const ALL = [
  noting("value", ""),
  noting("typed", ", keyTypes=['hash', 'string', 'empty']"),
  noting("list", ", keyTypes=['list'], eventTypes=['lpush', 'rpush', 'lpop', 'ltrim', 'lrem', 'del']", "k:1*"),
  noting("plain", ", readValue=False, keyTypes=['zset', 'stream'], eventTypes=['zadd', 'zpopmin', 'xadd']"),
  noting("miss", ", eventTypes=['keymiss', 'del']"),
  noting("command", ", commands=['hset']"),
];
/** Events that tell the type. */
const KNOWN = [
  "lpush",
  "rpush",
  "lpop",
  "ltrim",
  "set",
  "append",
  "incrby",
  "hset",
  "del",
  "sadd",
  "spop",
  "zadd",
  "zpopmin",
  "xadd",
];
const SIMPLE = [
  noting("value", ""),
  noting("typed", `, keyTypes=['hash', 'string'], eventTypes=${JSON.stringify(KNOWN)}`),
  "GB().foreach(lambda r: execute('SET', 'copy:' + repr(r['key']), repr(r['value']))).register('k:*', mode='sync')",
];

/** Commands on few keys of all types, which are also emptied, deleted, and of the wrong type. */
function commands(seed: number): Command[] {
  const pick = random(seed);
  const key = (): Word => (pick(12) === 0 ? Buffer.from([0x6b, 0x3a, 0x80 + pick(3)]) : `k:${pick(4)}`);
  const value = (): Word =>
    [`${pick(100)}`, "", "héllo", Buffer.from([0xff, pick(256)]), LONG][pick(pick(4) === 0 ? 5 : 4)] ?? "";
  const all: readonly (() => Command)[] = [
    () => ["SET", key(), value()],
    () => ["SET", key(), value(), "PX", "10000000"],
    () => ["SET", key(), value(), "PXAT", "1"],
    () => ["GETSET", key(), value()],
    () => ["GETDEL", key()],
    () => ["APPEND", key(), value()],
    () => ["INCR", key()],
    () => ["SETBIT", key(), `${pick(20)}`, "1"],
    () => ["DEL", key(), key()],
    () => ["DEL", key()],
    () => ["MSET", key(), value(), "other", "x", key(), value()],
    () => ["GET", key()],
    () => ["HSET", key(), `f${pick(3)}`, value()],
    () => ["HDEL", key(), `f${pick(3)}`],
    () => ["HINCRBY", key(), "n", "2"],
    () => ["LPUSH", key(), value(), value()],
    () => ["RPUSH", key(), value()],
    () => ["LPOP", key()],
    () => ["RPOP", key(), "2"],
    () => ["LTRIM", key(), "1", "0"],
    () => ["LREM", key(), "0", ""],
    () => ["SADD", key(), "m"],
    () => ["SPOP", key()],
    () => ["SREM", key(), "m"],
    () => ["ZADD", key(), `${pick(9)}`, "m"],
    () => ["ZPOPMIN", key()],
    () => ["XADD", key(), "*", "f", "v"],
    () => ["PFADD", key(), `${pick(9)}`],
    () => ["EXPIRE", key(), "10000"],
    () => ["EXPIRE", key(), "-1"],
    () => ["PERSIST", key()],
    () => ["RENAME", key(), key()],
    () => ["COPY", key(), key()],
    () => ["SET", "other", value()],
  ];
  return Array.from({ length: COUNT }, () => (all[pick(all.length)] as () => Command)());
}

/** What commands have answered, and what has come of them. */
async function outcome(
  script: readonly string[],
  send: (each: (command: Command) => Promise<Value>) => Promise<Value[]>,
) {
  const { client } = setting();
  await client.call("RG.UNREGISTERALL", "ABORTPENDING");
  await client.call("FLUSHALL");
  await client.call("CONFIG", "RESETSTAT");
  expect(await client.call("RG.PYEXECUTE", [...HEAD, ...script].join("\n"))).toBe("OK");
  const answers = await send((command) => client.call(...command).catch((error: Error) => error.message));
  const stats = String(await client.call("INFO", "stats", "commandstats"));
  const counts = [
    "keyspace_hits",
    "keyspace_misses",
    "cmdstat_type",
    "cmdstat_get",
    "cmdstat_hgetall",
    "cmdstat_lrange",
  ];
  return {
    replies: answers.map((reply) => (String(reply).match(/^\d{13}-\d+$/) ? "an id" : reply)),
    log: await client.call("LRANGE", "log", "0", "-1"),
    copies: ((await client.call("KEYS", "copy:*")) as string[]).sort(),
    registrations: (await registrations(client)).map(({ data }) => [
      data.numTriggered,
      data.numSuccess,
      data.lastError,
    ]),
    executions: ((await client.call("RG.DUMPEXECUTIONS")) as Value[]).length,
    stats: counts.map((name) => new RegExp(`${name}:(?:calls=)?(\\d+)`).exec(stats)?.[0]),
    inChunks: await inChunks(client),
  };
}

/** What comes of commands that are sent one by one, and at once. */
async function bothWays(script: readonly string[], all: readonly Command[]) {
  const alone = await outcome(script, async (send) => {
    const replies: Value[] = [];
    for (const command of all) replies.push(await send(command));
    return replies;
  });
  const together = await outcome(script, (send) => Promise.all(all.map(send)));
  expect(alone.inChunks).toBe(0);
  return { alone, together };
}

describe("random commands in a pipeline", () => {
  const seeds = Array.from({ length: Number(process.env.REGEARS_CHUNK_SEEDS ?? 12) }, (_, seed) => seed + 1);

  it.each(seeds)("have the events that they have one by one, with the same records (%i)", async (seed) => {
    const script = seed % 2 === 0 ? ALL : SIMPLE;
    const { alone, together } = await bothWays(script, commands(seed));
    expect({ ...together, inChunks: 0 }).toEqual(alone);
    expect(together.inChunks).toBeGreaterThan(COUNT / 10);
  });
});

describe("a value", () => {
  const numbers = Array.from({ length: 60 }, (_, n) => n);

  it("may be longer than what an interpreter reads by itself", async () => {
    const script = [
      "GB().foreach(lambda r: log(str(len(r['value'])), {'key': r['key']})).register('k:*', mode='sync')",
    ];
    const lengths = [0, 100, 60_000, 70_000, 200_000];
    const all = numbers.map((n): Command => ["SETRANGE", `k:${n}`, `${lengths[n % lengths.length] ?? 0}`, "x"]);
    const { alone, together } = await bothWays(script, all);
    expect([together.log, together.replies]).toEqual([alone.log, alone.replies]);
    expect(together.inChunks).toBeGreaterThan(10);
  });

  it("is gone when its key has expired before it is read, which is an event of its own", async () => {
    const script = [
      "def wait(r):",
      "    end = time.perf_counter() + 0.0025",
      "    while time.perf_counter() < end: pass",
      "GB().foreach(wait).register('k:*', mode='sync', readValue=False, eventTypes=['set'])",
      noting("late", ""),
    ];
    const all = numbers.map((n): Command => (n % 9 === 5 ? ["SET", `k:${n}`, "x", "PX", "1"] : ["SET", `k:${n}`, "x"]));
    const { alone, together } = await bothWays(script, all);
    expect([together.log, together.registrations]).toEqual([alone.log, alone.registrations]);
    expect(String(together.log)).toContain("late {'event': 'set', 'key': 'k:5', 'type': 'empty', 'value': None}");
    expect((together.log as string[]).filter((line) => line.includes("'expired'"))).toHaveLength(7);
  });

  it("is that of the moment in which each registration comes to it", async () => {
    const script = [
      noting("before", ", eventTypes=['set']"),
      "GB().foreach(lambda r: execute('SET', r['key'], r['value'] + '!')).register('k:*', mode='sync', eventTypes=['set'])",
      noting("after", ", eventTypes=['set']"),
    ];
    const { alone, together } = await bothWays(
      script,
      numbers.map((n): Command => ["SET", `k:${n}`, `${n}`]),
    );
    expect({ ...together, inChunks: 0 }).toEqual(alone);
    expect(String(together.log)).toContain("after {'event': 'set', 'key': 'k:7', 'type': 'string', 'value': '7!'}");
    expect(together.inChunks).toBeGreaterThan(60);
  });
});
