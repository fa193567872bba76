/** Programs that use ioredis: errors, users, databases, lost connections, and what values become. */
import { Redis } from "ioredis";
import { ALL_BYTES, next, VALKEY_TEXT } from "./cases.ts";
import type { IoredisCase } from "./ioredis.cases.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

export const connectionCases: readonly IoredisCase[] = [
  {
    name: "errors: types, unknown commands and modules, arguments, syntax",
    async run({ connect }) {
      const client = await connect();
      await client.set("k", "v");
      return [
        await errorOf(client.lpush("k", "x")),
        await errorOf(client.call("JSON.GET", "k", "$") as Promise<unknown>),
        await errorOf(client.call("FT.SEARCH", "i") as Promise<unknown>),
        await errorOf(client.call("GET", "a", "b") as Promise<unknown>),
        await errorOf(client.call("SET", "k", "v", "XX", "NX") as Promise<unknown>),
        await errorOf(client.call("CONFIG", "NOSUCH") as Promise<unknown>),
        await errorOf(client.hincrby("k", "f", 1)),
      ];
    },
    gives: [
      "WRONGTYPE Operation against a key holding the wrong kind of value",
      "ERR unknown command 'JSON.GET', with args beginning with: 'k' '$' ",
      "ERR unknown command 'FT.SEARCH', with args beginning with: 'i' ",
      "ERR wrong number of arguments for 'get' command",
      "ERR syntax error",
      "ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.",
      "WRONGTYPE Operation against a key holding the wrong kind of value",
    ],
  },
  {
    name: "users: wrong passwords, missing rights",
    async run({ connect }) {
      const admin = await connect();
      await admin.acl("SETUSER", "reader", "on", ">secret", "~r:*", "+get", "+client", "+hello", "+info", "+ping");
      const wrong = await errorOf(
        admin.duplicate({ lazyConnect: true, retryStrategy: null }).call("AUTH", "reader", "no") as Promise<unknown>,
      );
      const reader = await connect({ username: "reader", password: "secret" });
      const replies = [
        await reader.get("r:1"),
        await errorOf(reader.get("other")),
        await errorOf(reader.set("r:1", "x")),
      ];
      await admin.acl("DELUSER", "reader");
      return [wrong, ...replies];
    },
    gives: [
      "WRONGPASS invalid username-password pair or user is disabled.",
      null,
      "NOPERM this user has no permissions to access one of the keys used as arguments",
      "NOPERM this user has no permissions to run the 'set' command",
    ],
    differs: {
      gives: [
        "WRONGPASS invalid username-password pair or user is disabled.",
        null,
        "NOPERM No permissions to access a key",
        "NOPERM User reader has no permissions to run the 'set' command",
      ],
      on: "embedded",
      because: VALKEY_TEXT,
    },
  },
  {
    name: "bytes of any kind, and values of 5 MB",
    async run({ connect }) {
      const client = await connect();
      await client.set(ALL_BYTES, ALL_BYTES);
      const big = Buffer.alloc(5_000_000, ALL_BYTES);
      await client.set("big", big);
      return [(await client.getBuffer(ALL_BYTES))?.equals(ALL_BYTES), (await client.getBuffer("big"))?.equals(big)];
    },
    gives: [true, true],
  },
  {
    name: "databases and key prefixes",
    async run({ connect }) {
      const [second, prefixed, plain] = [
        await connect({ db: 2 }),
        await connect({ keyPrefix: "app:" }),
        await connect(),
      ];
      await second.set("k", "in 2");
      await prefixed.set("k", "prefixed");
      await plain.swapdb(0, 2);
      const swapped = [await plain.get("k"), await second.get("app:k")];
      await plain.swapdb(0, 2);
      return [swapped, await prefixed.keys("*"), await plain.move("app:k", 2), await errorOf(plain.select(99))];
    },
    gives: [["in 2", "prefixed"], ["app:k"], 1, "ERR DB index is out of range"],
  },
  {
    name: "reconnects when it was killed, and is subscribed again",
    async run({ connect }) {
      const [client, subscriber, other] = [await connect(), await connect(), await connect()];
      const ids = [await client.client("ID"), await subscriber.client("ID")];
      await subscriber.subscribe("c");
      const subscribedAgain = async (): Promise<boolean> => (await other.pubsub("NUMSUB", "c"))[1] === 1;
      const ready = Promise.all([next(client, "ready"), next(subscriber, "ready")]);
      for (const id of ids) await other.client("KILL", "ID", id);
      await ready;
      const message = next(subscriber, "message");
      await until(subscribedAgain);
      await other.publish("c", "back");
      return [await client.set("k", "v"), await message];
    },
    gives: ["OK", ["c", "back"]],
  },
  {
    name: "doubles, maps, sets and expiry keep their shapes",
    async run({ connect, port }) {
      const client = await connect();
      await client.zadd("z", 1.5, "a", 2, "b");
      await client.hset("h", { a: "1", b: "2" });
      await client.sadd("s", "m");
      await client.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania");
      await client.set("k", "v", "EX", 100);
      const replaced = new Redis({ port, protocol: 3, replyMapping: "resp3" });
      try {
        return [
          await client.zscore("z", "a"),
          await client.call("ZRANGE", "z", "0", "-1", "WITHSCORES"),
          await client.call("HGETALL", "h"),
          await client.smembers("s"),
          await client.geodist("g", "Palermo", "Catania", "KM"),
          Number(await client.pttl("k")) > 0,
          await client.getdel("k"),
          await replaced.call("ZSCORE", "z", "a"),
          await replaced.call("HGETALL", "h"),
        ];
      } finally {
        replaced.disconnect();
      }
    },
    gives: [
      "1.5",
      [
        ["a", "1.5"],
        ["b", "2"],
      ],
      ["a", "1", "b", "2"],
      ["m"],
      "166.2742",
      true,
      "v",
      1.5,
      { a: "1", b: "2" },
    ],
  },
];
