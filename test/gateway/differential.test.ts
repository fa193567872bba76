/** Random conversations, once with a server directly and once through the gateway: every byte must be the same. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectPlain } from "../support/plain-client.ts";
import { random } from "../support/random.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { TcpEngine } from "../support/tcp-engine.ts";

const ANYWHERE = [
  ...[
    "SET k 1",
    "GET k",
    "GET none",
    "INCR n",
    "APPEND s abc",
    "GET s",
    "LPUSH l a b",
    "LRANGE l 0 -1",
    "LPOP l",
    "HSET h f v",
  ],
  ...[
    "HGETALL h",
    "GET",
    "NOSUCH a",
    "GET l",
    "PING",
    "PING hi",
    "ECHO x",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "UNWATCH",
    "SELECT 1",
  ],
  ...["SELECT 0", "SELECT 99", "EVAL 'return {1,{2},redis.status_reply(\"x\")}' 0", "DEL k", "MULTI", "MULTI", "RESET"],
  ...[
    "SUBSCRIBE c",
    "SUBSCRIBE c c",
    "PSUBSCRIBE p*",
    "UNSUBSCRIBE c",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SSUBSCRIBE t",
    "SUNSUBSCRIBE",
  ],
  ...["HELLO 2", "HELLO 3", "HELLO 7", "AUTH wrong", "EXEC", "EXEC", "PUBLISH c m", "SUBSCRIBE", "CLIENT NO-EVICT OFF"],
  ...[
    "DEBUG JMAP",
    "CLIENT REPLY",
    "OBJECT HELP",
    "EXEC x",
    "CONFIG SET nosuch 1",
    "ACL SETUSER default bad",
    "RESET",
    "MULTI",
  ],
];
/** Not inside MULTI: there they would silence half of EXEC's reply. */
const OUTSIDE = ["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "CLIENT REPLY ON"];

function conversation(seed: number): string[] {
  const pick = random(seed);
  const lines: string[] = [];
  let transaction = false;
  for (let count = 3 + pick(25); count > 0; count--) {
    const choice = !transaction && pick(10) === 0 ? OUTSIDE[pick(OUTSIDE.length)] : ANYWHERE[pick(ANYWHERE.length)];
    if (choice === "MULTI") transaction = true;
    else if (choice === "EXEC" || choice === "DISCARD" || choice === "RESET") transaction = false;
    lines.push(choice ?? "");
  }
  return [...lines, "RESET", "FLUSHALL", "ECHO end"];
}

/** HELLO shows the connection's number, and us. */
const normal = (replies: string): string =>
  replies.replace(
    /([%*]\d+\r\n\$6\r\nserver\r\n)[\s\S]*?\$7\r\nmodules\r\n\*\d\r\n(?:[%*]\d\r\n\$4\r\nname[\s\S]*?args\r\n\*0\r\n)?/g,
    "$1",
  );

async function talk(port: number, lines: readonly string[], pieces: number): Promise<string> {
  const client = await connectPlain(port);
  const text = lines.map((line) => `${line}\r\n`).join("");
  for (let at = 0; at < text.length; at += pieces) {
    client.write(text.slice(at, at + pieces));
    if (pieces < 50) await new Promise((resolve) => setImmediate(resolve));
  }
  await client.until(() => client.pending.endsWith("$3\r\nend\r\n"));
  client.destroy();
  return normal(client.pending);
}

const redis = findRedisServer();
describe.skipIf(!redis.path)(`random conversations${redis.skipped}`, () => {
  let direct: RedisServer;
  let behind: RedisServer;
  let gateway: TestGateway;
  beforeAll(async () => {
    [direct, behind] = await Promise.all([startRedisServer(), startRedisServer()]);
    gateway = await startGateway(new TcpEngine(behind.port));
  }, 30_000);
  afterAll(async () => {
    await gateway.stop();
    await Promise.all([direct.stop(), behind.stop()]);
  });

  it.each(Array.from({ length: 20 }, (_, index) => index))(
    "group %i of 25",
    async (group) => {
      for (let seed = group * 25; seed < group * 25 + 25; seed++) {
        const lines = conversation(seed);
        const expected = await talk(direct.port, lines, 1_000_000);
        const pieces = seed % 3 === 0 ? 7 : 1_000_000;
        const got = await talk(gateway.listener.port, lines, pieces);
        expect({ seed, lines, replies: got }).toEqual({ seed, lines, replies: expected });
      }
      expect(gateway.log.lines).toEqual([]);
    },
    30_000,
  );
});
