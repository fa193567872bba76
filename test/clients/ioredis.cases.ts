/** Programs that use ioredis, which speaks RESP3 by itself and gives the shapes of RESP2. */
import { Redis, type RedisOptions } from "ioredis";
import {
  type Case,
  type Suite,
  isBlocked,
  LIBRARY,
  NO_CLUSTER,
  OTHERS_PING,
  outcomeOf,
  next,
  UNLOCK,
  VALKEY_ALLOWS,
  VALKEY_TEXT,
} from "./cases.ts";
import { connectionCases } from "./ioredis-connections.cases.ts";
import { gearsCases } from "./ioredis-gears.cases.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

/** All options but the one that changes the shapes of replies, and with it the types of all methods. */
type Options = Omit<RedisOptions, "replyMapping">;

export type IoredisCase = Case<Redis, Options>;

const flat = (pairs: readonly unknown[]): Record<string, unknown> =>
  Object.fromEntries(
    Array.from({ length: pairs.length / 2 }, (_, at) => [String(pairs[2 * at]), pairs[2 * at + 1]] as const),
  );

const cases: readonly IoredisCase[] = [
  {
    name: "connects with HELLO 3 and a name",
    async run({ connect }) {
      const client = await connect({ connectionName: "app" });
      const { proto, mode, role } = flat((await client.call("HELLO")) as unknown[]);
      return [proto, mode, role, await client.client("GETNAME")];
    },
    gives: [3, "standalone", "master", "app"],
  },
  {
    name: "connects with RESP2",
    async run({ connect }) {
      const client = await connect({ protocol: 2 });
      return [
        flat((await client.call("HELLO")) as unknown[]).proto,
        await client.hset("h", { a: "1" }),
        await client.hgetall("h"),
      ];
    },
    gives: [2, 1, { a: "1" }],
  },
  {
    name: "tells its library (CLIENT SETINFO)",
    async run({ connect }) {
      const client = await connect();
      return /lib-name=ioredis/.test(String(await client.call("CLIENT", "INFO")));
    },
    gives: false,
    differs: { gives: true, on: "embedded", because: "CLIENT SETINFO came with Redis 7.2; Valkey has it." },
  },
  {
    name: "pipelines, with an error among the replies",
    async run({ connect }) {
      const client = await connect();
      const replies = await client.pipeline().set("k", "v").incr("n").incr("k").get("k").lpush("n", "x").exec();
      return replies?.map(([error, value]) => error?.message ?? value);
    },
    gives: [
      "OK",
      1,
      "ERR value is not an integer or out of range",
      "v",
      "WRONGTYPE Operation against a key holding the wrong kind of value",
    ],
  },
  {
    name: "a pipeline of 10 000 commands keeps their order",
    async run({ connect }) {
      const client = await connect({ enableAutoPipelining: true });
      const replies = await Promise.all(Array.from({ length: 10_000 }, () => client.incr("n")));
      return replies.every((reply, index) => reply === index + 1);
    },
    gives: true,
  },
  {
    name: "transactions: replies, an error within, and one that is refused",
    async run({ connect }) {
      const client = await connect();
      const done = await client.multi().set("k", "v").incr("k").get("k").exec();
      const refused = client.multi({ pipeline: false });
      await refused;
      const wrong = await errorOf(client.call("GET"));
      return [done?.map(([error, value]) => error?.message ?? value), wrong, await errorOf(client.exec())];
    },
    gives: [
      ["OK", "ERR value is not an integer or out of range", "v"],
      "ERR wrong number of arguments for 'get' command",
      "EXECABORT Transaction discarded because of previous errors.",
    ],
  },
  {
    name: "WATCH: a transaction whose key has changed is not carried out",
    async run({ connect }) {
      const [client, other] = [await connect(), await connect()];
      await client.watch("k");
      await other.set("k", "theirs");
      const lost = await client.multi().set("k", "mine").exec();
      await client.watch("k");
      return [lost, await client.get("k"), await client.multi().set("k", "mine").exec()];
    },
    gives: [null, "theirs", [[null, "OK"]]],
  },
  {
    name: "subscribes to channels, patterns and shard channels",
    async run({ connect }) {
      const [subscriber, publisher] = [await connect(), await connect()];
      const seen: unknown[] = [];
      subscriber.on("message", (...message) => seen.push(message));
      subscriber.on("pmessage", (...message) => seen.push(message));
      subscriber.on("smessage", (...message) => seen.push(message));
      const counts = [
        await subscriber.subscribe("a", "b"),
        await subscriber.psubscribe("p*"),
        await subscriber.ssubscribe("s"),
      ];
      const received = [
        await publisher.publish("a", "1"),
        await publisher.publish("pq", "2"),
        await publisher.spublish("s", "3"),
        await publisher.publish("none", "4"),
      ];
      await until(() => seen.length === 3);
      await subscriber.unsubscribe("a", "b");
      await subscriber.punsubscribe();
      await subscriber.sunsubscribe();
      return [counts, received, seen, await subscriber.ping()];
    },
    gives: [
      [2, 3, 1],
      [1, 1, 1, 0],
      [
        ["a", "1"],
        ["p*", "pq", "2"],
        ["s", "3"],
      ],
      "PONG",
    ],
  },
  {
    name: "keyspace notifications",
    async run({ connect }) {
      const [client, subscriber] = [await connect(), await connect()];
      await client.config("SET", "notify-keyspace-events", "KEA");
      const message = next(subscriber, "pmessage");
      await subscriber.psubscribe("__keyevent@0__:*");
      await client.set("k", "v");
      await client.config("SET", "notify-keyspace-events", "");
      return message;
    },
    gives: ["__keyevent@0__:*", "__keyevent@0__:set", "k"],
  },
  {
    name: "scripts: EVALSHA falls back to EVAL, and what Lua gives",
    async run({ connect }) {
      const client = await connect();
      await client.script("FLUSH");
      const missing = await errorOf(client.evalsha("0".repeat(40), 0));
      client.defineCommand("shapes", {
        numberOfKeys: 1,
        lua: "return {KEYS[1], ARGV[1], 1.9, {ok='fine'}, false, {1, {2}}}",
      });
      const { shapes } = client as unknown as { shapes(...args: string[]): Promise<unknown> };
      const twice = [await shapes.call(client, "k", "v"), await shapes.call(client, "k", "v")];
      return [missing, twice, await errorOf(client.eval("return redis.error_reply('MY error')", 0))];
    },
    gives: [
      "NOSCRIPT No matching script. Please use EVAL.",
      Array.from({ length: 2 }, () => ["k", "v", 1, "fine", null, [1, [2]]]),
      "MY error",
    ],
    differs: {
      gives: [
        "NOSCRIPT No matching script.",
        Array.from({ length: 2 }, () => ["k", "v", 1, "fine", null, [1, [2]]]),
        "MY error",
      ],
      on: "embedded",
      because: VALKEY_TEXT,
    },
  },
  {
    name: "functions: FUNCTION LOAD, FCALL and FCALL_RO",
    async run({ connect }) {
      const client = await connect();
      await client.function("FLUSH");
      const loaded = await client.function("LOAD", LIBRARY);
      const replies = [await client.fcall("add", 1, "n", "5"), await client.fcall_ro("peek", 1, "n")];
      await client.function("FLUSH");
      return [loaded, replies, await errorOf(client.fcall("add", 1, "n", "5"))];
    },
    gives: ["counters", [5, "5"], "ERR Function not found"],
  },
  {
    name: "MONITOR",
    async run({ connect }) {
      const client = await connect();
      const monitor = await client.monitor();
      const seen: unknown[][] = [];
      monitor.on(
        "monitor",
        (time: string, args: string[], source: string, database: string) =>
          OTHERS_PING.test(`"${args[0]}"`) ||
          seen.push([/^\d+\.\d{6}$/.test(time), args, /^127\.0\.0\.1:\d+$|^lua$/.test(source) || source, database]),
      );
      try {
        await client.set("k", 'quote " and \\ and é');
        await client.eval("return redis.call('GET', 'k')", 0);
        await client.echo("end");
        await until(() => seen.some(([, args]) => (args as string[])[1] === "end"));
      } finally {
        monitor.disconnect();
      }
      return seen.map(([time, args, source, database]) => [
        time,
        (args as string[])[0]?.toLowerCase(),
        source,
        database,
      ]);
    },
    gives: ["set", "eval", "get", "echo"].map((name) => [true, name, true, "0"]),
  },
  {
    name: "blocking commands: answered by another client, timed out, and unblocked",
    async run({ connect }) {
      const [waiter, other] = [await connect(), await connect()];
      const whenBlocked = async (): Promise<void> =>
        void (await until(async () => isBlocked(await other.client("LIST"))));
      const popped = waiter.blpop("none", "l", 0);
      await whenBlocked();
      await other.rpush("l", "x");
      const results: unknown[] = [await popped];
      const smallest = waiter.bzpopmin("z", 0);
      await whenBlocked();
      await other.zadd("z", 1.5, "m");
      results.push(await smallest);
      const moved = waiter.blmove("from", "to", "LEFT", "RIGHT", 0);
      await whenBlocked();
      await other.rpush("from", "y");
      results.push(await moved);
      results.push(await waiter.blpop("none", 0.01), await waiter.xread("BLOCK", 1, "STREAMS", "none", "$"));
      const id = await waiter.client("ID");
      const unblocked = errorOf(waiter.brpop("none", 0));
      await whenBlocked();
      await other.client("UNBLOCK", id, "ERROR");
      return [...results, await unblocked, await waiter.ping()];
    },
    gives: [["l", "x"], ["z", "m", "1.5"], "y", null, null, "UNBLOCKED client unblocked via CLIENT UNBLOCK", "PONG"],
  },
  {
    name: "iterates with SCAN, HSCAN, SSCAN and ZSCAN",
    async run({ connect }) {
      const client = await connect();
      const numbers = Array.from({ length: 1500 }, (_, n) => n);
      await client.mset(Object.fromEntries(numbers.map((n) => [`k:${n}`, n])));
      await client.hset("h", Object.fromEntries(numbers.map((n) => [`f${n}`, n])));
      await client.sadd("s", ...numbers);
      await client.zadd("z", ...numbers.flatMap((n) => [n, `m${n}`]));
      const sizes: number[] = [];
      for (const stream of [
        client.scanStream({ match: "k:*", count: 100 }),
        client.hscanStream("h"),
        client.sscanStream("s"),
        client.zscanStream("z"),
      ]) {
        const seen = new Set<string>();
        for await (const batch of stream as AsyncIterable<string[]>) for (const item of batch) seen.add(item);
        sizes.push(seen.size);
      }
      return sizes;
    },
    // fields and members come with their values: f0 0 f1 1 …
    gives: [1500, 3000, 1500, 3000],
  },
  {
    name: "streams and consumer groups",
    async run({ connect }) {
      const client = await connect();
      await client.xgroup("CREATE", "st", "g", "0", "MKSTREAM");
      const again = await errorOf(client.xgroup("CREATE", "st", "g", "0"));
      await client.xadd("st", "1-0", "a", "1");
      await client.xadd("st", "2-0", "a", "2");
      const read = await client.xreadgroup("GROUP", "g", "one", "COUNT", 10, "STREAMS", "st", ">");
      const acknowledged = await client.xack("st", "g", "1-0");
      const [pending, first, last, consumers] = (await client.xpending("st", "g")) as unknown[];
      const claimed = (await client.xautoclaim("st", "g", "two", 0, "0")) as unknown[];
      const info = flat((await client.xinfo("STREAM", "st")) as unknown[]);
      const trimmed = await client.xtrim("st", "MAXLEN", 1);
      const range = await client.xrange("st", "-", "+");
      return [
        again,
        read,
        acknowledged,
        pending,
        first,
        last,
        consumers,
        claimed,
        info.length,
        info.groups,
        trimmed,
        range,
      ];
    },
    gives: [
      "BUSYGROUP Consumer Group name already exists",
      [
        [
          "st",
          [
            ["1-0", ["a", "1"]],
            ["2-0", ["a", "2"]],
          ],
        ],
      ],
      1,
      1,
      "2-0",
      "2-0",
      [["one", "1"]],
      ["0-0", [["2-0", ["a", "2"]]], []],
      2,
      1,
      1,
      [["2-0", ["a", "2"]]],
    ],
  },
  {
    name: "commands about a cluster, where there is none",
    async run({ connect }) {
      const client = await connect();
      return [
        await errorOf(client.cluster("INFO")),
        await errorOf(client.cluster("SLOTS")),
        await errorOf(client.cluster("NODES")),
        await outcomeOf(client.cluster("KEYSLOT", "k")),
        await outcomeOf(client.readonly()),
        await errorOf(client.call("ASKING") as Promise<unknown>),
        await client.wait(0, 10),
        ((await client.role()) as unknown[])[0],
      ];
    },
    gives: [NO_CLUSTER, NO_CLUSTER, NO_CLUSTER, NO_CLUSTER, NO_CLUSTER, NO_CLUSTER, 0, "master"],
    differs: {
      gives: [NO_CLUSTER, NO_CLUSTER, NO_CLUSTER, 7629, "OK", NO_CLUSTER, 0, "master"],
      on: "embedded",
      because: VALKEY_ALLOWS,
    },
  },
  {
    name: "RESET: database, transaction and name are those of a new connection",
    async run({ connect }) {
      const client = await connect({ connectionName: "app", protocol: 2 });
      await client.select(3);
      await client.set("k", "in 3");
      await client.multi({ pipeline: false });
      const reset = await client.call("RESET");
      return [reset, await client.get("k"), await client.client("GETNAME"), await errorOf(client.exec())];
    },
    gives: ["RESET", null, null, "ERR EXEC without MULTI"],
  },
  {
    name: "client-side caching: invalidations to another connection",
    async run({ connect }) {
      const [reader, listener, writer] = [await connect(), await connect({ protocol: 2 }), await connect()];
      const id = await listener.client("ID");
      const message = next(listener, "message");
      await listener.subscribe("__redis__:invalidate");
      await reader.call("CLIENT", "TRACKING", "ON", "REDIRECT", String(id));
      await reader.get("k");
      await writer.set("k", "new");
      return [await message, (await reader.call("CLIENT", "GETREDIR")) === id];
    },
    gives: [["__redis__:invalidate", "k"], true],
  },
  {
    name: "a lock by SET NX PX, released by its holder only",
    async run({ connect }) {
      const [one, two] = [await connect(), await connect()];
      const taken = [
        await one.set("lock", "one", "PX", 60_000, "NX"),
        await two.set("lock", "two", "PX", 60_000, "NX"),
      ];
      return [
        taken,
        await two.eval(UNLOCK, 1, "lock", "two"),
        await one.eval(UNLOCK, 1, "lock", "one"),
        await one.exists("lock"),
      ];
    },
    gives: [["OK", null], 0, 1, 0],
  },
  ...connectionCases,
  ...gearsCases,
];

export const ioredis: Suite<Redis, Options> = {
  client: "ioredis",
  async open(port, options) {
    const client: Redis = new Redis({ ...options, port });
    client.on("error", () => {});
    await client.ping();
    return client;
  },
  close: (client) => client.disconnect(),
  cases,
};
