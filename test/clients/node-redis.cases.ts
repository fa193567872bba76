/** Programs that use node-redis (the package `redis`). */
import { createClient, RESP_TYPES, type RedisClientOptions } from "redis";
import {
  ALL_BYTES,
  type Case,
  isBlocked,
  LIBRARY,
  NO_CLUSTER,
  OTHERS_PING,
  outcomeOf,
  next,
  type Suite,
  UNLOCK,
  VALKEY_ALLOWS,
} from "./cases.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

type Client = ReturnType<typeof open>;

/** What the cases ask for; everything else is as in a program that says nothing. */
interface Options {
  readonly RESP?: 2 | 3;
  readonly name?: string;
  readonly database?: number;
  readonly username?: string;
  readonly password?: string;
  readonly emitInvalidate?: boolean;
}

function open(port: number, options: Options = {}) {
  const all = { ...options, RESP: (options.RESP ?? 3) as 3, socket: { port, host: "127.0.0.1" } };
  return createClient(all satisfies RedisClientOptions);
}

/** Values of a reply without the classes and prototypes that the client makes them with. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const cases: readonly Case<Client, Options>[] = [
  {
    name: "connects with HELLO 3, a name and a database",
    async run({ connect }) {
      const client = await connect({ name: "app", database: 3 });
      const { proto, mode, role } = (await client.hello()) as { proto: number; mode: string; role: string };
      return [proto, mode, role, await client.clientGetName(), (await client.clientInfo()).db];
    },
    gives: [3, "standalone", "master", "app", 3],
  },
  {
    name: "tells its library (CLIENT SETINFO)",
    async run({ connect }) {
      const client = await connect();
      return /lib-name=node-redis/.test(String(await client.sendCommand(["CLIENT", "INFO"])));
    },
    gives: false,
    differs: { gives: true, on: "embedded", because: "CLIENT SETINFO came with Redis 7.2; Valkey has it." },
  },
  {
    name: "pipelines by themselves what is sent at once, and keeps the order",
    async run({ connect }) {
      const client = await connect();
      const replies = await Promise.all(Array.from({ length: 5000 }, () => client.incr("n")));
      return replies.every((reply, index) => reply === index + 1);
    },
    gives: true,
  },
  {
    name: "transactions, an error within, and WATCH",
    async run({ connect }) {
      const [client, other] = [await connect(), await connect()];
      const done = await client.multi().set("k", "v").incr("n").get("k").exec();
      const failed = await errorOf(client.multi().incr("k").get("k").exec());
      await client.watch("k");
      await other.set("k", "theirs");
      return [done, failed, await errorOf(client.multi().set("k", "mine").exec()), await client.get("k")];
    },
    gives: [
      ["OK", 1, "v"],
      "1 commands failed, see .replies and .errorIndexes for more information",
      "One (or more) of the watched keys has been changed",
      "theirs",
    ],
  },
  ...([2, 3] as const).map((RESP) => ({
    name: `subscribes to channels, patterns and shard channels (RESP${RESP})`,
    async run({ connect }: Parameters<Case<Client, Options>["run"]>[0]) {
      const [subscriber, publisher] = [await connect({ RESP }), await connect()];
      const seen: string[][] = [];
      const listener = (message: string, channel: string): void => void seen.push([channel, message]);
      await subscriber.subscribe(["a", "b"], listener);
      await subscriber.pSubscribe("p*", listener);
      await subscriber.sSubscribe("s", listener);
      const received = [
        await publisher.publish("a", "1"),
        await publisher.publish("pq", "2"),
        await publisher.sPublish("s", "3"),
      ];
      await until(() => seen.length === 3);
      // With RESP3 a subscriber may send what it likes.
      const between = RESP === 3 ? await subscriber.set("k", "v") : "OK";
      await subscriber.unsubscribe();
      await subscriber.pUnsubscribe();
      await subscriber.sUnsubscribe();
      return [received, seen, between, String(await subscriber.ping())];
    },
    gives: [
      [1, 1, 1],
      [
        ["a", "1"],
        ["pq", "2"],
        ["s", "3"],
      ],
      "OK",
      "PONG",
    ],
  })),
  {
    name: "client-side caching: invalidations come as RESP3 pushes",
    async run({ connect }) {
      const [reader, writer] = [await connect({ emitInvalidate: true }), await connect()];
      const invalidated = next(reader, "invalidate");
      await reader.get("k");
      await writer.set("k", "new");
      const [key] = await invalidated;
      return [String(key), await reader.get("k")];
    },
    gives: ["k", "new"],
  },
  {
    name: "scripts and functions",
    async run({ connect }) {
      const client = await connect();
      const sha = await client.scriptLoad("return {KEYS[1], ARGV[1], 1.9, false}");
      const replies = plain(await client.evalSha(sha, { keys: ["k"], arguments: ["v"] }));
      await client.functionFlush();
      const loaded = await client.functionLoad(LIBRARY);
      const called = [
        await client.fCall("add", { keys: ["n"], arguments: ["5"] }),
        await client.fCallRo("peek", { keys: ["n"] }),
      ];
      await client.functionFlush();
      return [replies, loaded, called];
    },
    gives: [["k", "v", 1, null], "counters", [5, "5"]],
  },
  {
    name: "MONITOR",
    async run({ connect }) {
      const [client, watcher] = [await connect(), await connect()];
      const lines: string[] = [];
      await watcher.monitor((line) => lines.push(String(line)));
      await client.set("k", "v");
      await client.echo("end");
      await until(() => lines.some((line) => line.includes('"end"')));
      return lines
        .filter((line) => !OTHERS_PING.test(line))
        .map((line) => line.replace(/^\d+\.\d{6} /, "TIME ").replace(/127\.0\.0\.1:\d+/, "ADDRESS"));
    },
    gives: ['TIME [0 ADDRESS] "SET" "k" "v"', 'TIME [0 ADDRESS] "ECHO" "end"'],
  },
  {
    name: "blocking commands, answered and timed out",
    async run({ connect }) {
      const [waiter, other] = [await connect(), await connect()];
      const popped = waiter.blPop(["none", "l"], 0);
      await until(async () => isBlocked(await other.sendCommand(["CLIENT", "LIST"])));
      await other.rPush("l", "x");
      return [
        plain(await popped),
        await waiter.blPop("none", 0.01),
        await waiter.xRead({ key: "none", id: "$" }, { BLOCK: 1 }),
      ];
    },
    gives: [{ key: "l", element: "x" }, null, null],
  },
  {
    name: "iterates with SCAN, HSCAN, SSCAN and ZSCAN",
    async run({ connect }) {
      const client = await connect();
      const numbers = Array.from({ length: 1500 }, (_, n) => n);
      await client.mSet(numbers.map((n) => [`k:${n}`, String(n)] as [string, string]));
      await client.hSet("h", Object.fromEntries(numbers.map((n) => [`f${n}`, n])));
      await client.sAdd("s", numbers.map(String));
      await client.zAdd(
        "z",
        numbers.map((n) => ({ score: n, value: `m${n}` })),
      );
      const iterators = [
        client.scanIterator({ MATCH: "k:*" }),
        client.hScanIterator("h"),
        client.sScanIterator("s"),
        client.zScanIterator("z"),
      ];
      const sizes: number[] = [];
      for (const iterator of iterators) {
        const seen = new Set<string>();
        for await (const batch of iterator as AsyncIterable<unknown[]>)
          for (const item of batch) seen.add(JSON.stringify(item));
        sizes.push(seen.size);
      }
      return sizes;
    },
    gives: [1500, 1500, 1500, 1500],
  },
  {
    name: "streams and consumer groups",
    async run({ connect }) {
      const client = await connect();
      await client.xGroupCreate("st", "g", "0", { MKSTREAM: true });
      await client.xAdd("st", "1-0", { a: "1" });
      await client.xAdd("st", "2-0", { a: "2" });
      const read = plain(await client.xReadGroup("g", "one", { key: "st", id: ">" }));
      const acknowledged = await client.xAck("st", "g", "1-0");
      const { pending } = await client.xPending("st", "g");
      const claimed = plain(await client.xAutoClaim("st", "g", "two", 0, "0"));
      return [read, acknowledged, pending, claimed, (await client.xInfoStream("st")).length];
    },
    gives: [
      [
        {
          name: "st",
          messages: [
            { id: "1-0", message: { a: "1" } },
            { id: "2-0", message: { a: "2" } },
          ],
        },
      ],
      1,
      1,
      { nextId: "0-0", messages: [{ id: "2-0", message: { a: "2" } }], deletedMessages: [] },
      2,
    ],
  },
  {
    name: "commands about a cluster, where there is none",
    async run({ connect }) {
      const client = await connect();
      return [
        await errorOf(client.clusterInfo()),
        await errorOf(client.clusterSlots()),
        await outcomeOf(client.readonly()),
        await client.wait(0, 10),
      ];
    },
    gives: [NO_CLUSTER, NO_CLUSTER, NO_CLUSTER, 0],
    differs: { gives: [NO_CLUSTER, NO_CLUSTER, "OK", 0], on: "embedded", because: VALKEY_ALLOWS },
  },
  {
    name: "a lock, errors, and commands of modules that are not there",
    async run({ connect }) {
      const client = await connect();
      const lock = { expiration: { type: "PX", value: 60_000 }, condition: "NX" } as const;
      const taken = [await client.set("lock", "one", lock), await client.set("lock", "two", lock)];
      const released = await client.eval(UNLOCK, { keys: ["lock"], arguments: ["one"] });
      await client.set("k", "v");
      return [
        taken,
        released,
        await errorOf(client.lPush("k", "x")),
        await errorOf(client.sendCommand(["JSON.GET", "k"])),
      ];
    },
    gives: [
      ["OK", null],
      1,
      "WRONGTYPE Operation against a key holding the wrong kind of value",
      "ERR unknown command 'JSON.GET', with args beginning with: 'k' ",
    ],
  },
  {
    name: "doubles, maps, sets, bytes and big numbers keep their types",
    async run({ connect }) {
      const client = await connect();
      const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      await client.zAdd("z", { score: 1.5, value: "a" });
      await client.hSet("h", { a: "1", b: "2" });
      await client.sAdd("s", "m");
      await client.set("raw", ALL_BYTES);
      await client.set("n", "9007199254740993");
      return [
        await client.zScore("z", "a"),
        plain(await client.hGetAll("h")),
        await client.sMembers("s"),
        (await bytes.get("raw"))?.equals(ALL_BYTES),
        await client.get("n"),
        (await client.expire("n", 100)) === 1,
      ];
    },
    gives: [1.5, { a: "1", b: "2" }, ["m"], true, "9007199254740993", true],
  },
  {
    name: "reconnects when it was killed, and is subscribed again",
    async run({ connect }) {
      const [client, subscriber, other] = [await connect(), await connect(), await connect()];
      const seen: string[] = [];
      const ids = [await client.clientId(), await subscriber.clientId()];
      await subscriber.subscribe("c", (message) => seen.push(message));
      const ready = Promise.all([next(client, "ready"), next(subscriber, "ready")]);
      for (const id of ids) await other.sendCommand(["CLIENT", "KILL", "ID", String(id)]);
      await ready;
      await until(async () => (await other.publish("c", "back")) === 1);
      await until(() => seen.length > 0);
      return [await client.set("k", "v"), seen];
    },
    gives: ["OK", ["back"]],
  },
  {
    name: "RESET: name, database and protocol are those of a new connection",
    async run({ connect }) {
      const client = await connect({ RESP: 2, name: "app" });
      await client.select(3);
      await client.set("k", "in 3");
      return [await client.sendCommand(["RESET"]), await client.get("k"), await client.clientGetName()];
    },
    gives: ["RESET", null, null],
  },
  {
    name: "gears: results, errors, UNBLOCKING, triggers and registrations",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      const ask = (...args: string[]): Promise<unknown> => client.sendCommand(args);
      await client.mSet({ a: "1", b: "2" });
      const sum = await ask(
        "RG.PYEXECUTE",
        "GB().map(lambda r: int(r['value'])).aggregate(0, lambda a, r: a + r, lambda a, r: a + r).run()",
      );
      const wrong = await errorOf(ask("RG.PYEXECUTE", "1 / 0"));
      const id = (await ask("RG.PYEXECUTE", "GB().count().run()", "UNBLOCKING")) as string;
      const later = await ask("RG.GETRESULTSBLOCKING", id);
      await ask(
        "RG.PYEXECUTE",
        "GB('CommandReader').map(lambda r: execute('INCRBY', 'total', r[1])).register(trigger='add', mode='sync')",
      );
      const triggered = await client.multi().set("k", "v").addCommand(["RG.TRIGGER", "add", "2"]).exec();
      const registered = ((await ask("RG.DUMPREGISTRATIONS")) as unknown[]).length;
      return [sum, wrong.includes("ZeroDivisionError"), later, triggered, registered, await ask("RG.UNREGISTERALL")];
    },
    gives: [[["3"], []], true, [["2"], []], ["OK", ["2"]], 1, 1],
  },
];

export const nodeRedis: Suite<Client, Options> = {
  client: "redis",
  async open(port, options) {
    const client = open(port, options);
    client.on("error", () => {});
    await client.connect();
    return client;
  },
  close: (client) => client.destroy(),
  cases,
};
