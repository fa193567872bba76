/** Requests that are right, nearly right and wrong, once to a redis-server and once through the gateway: the same bytes. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, it } from "vitest";
import { connectPlain, pingTwice, type PlainClient, request } from "../support/plain-client.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { TcpEngine } from "../support/tcp-engine.ts";
import { FUZZ_TIMEOUT_MS, fuzz } from "./support.ts";

const redis = findRedisServer();

/** Without NUL: in a line with one redis-server, a C program, sees no line end and waits for ever, while we say what is wrong. */
const bytes = fc.uint8Array({ min: 1, maxLength: 40 });
const good = fc
  .oneof(
    fc.constant(["PING"]),
    bytes.map((arg) => ["ECHO", arg]),
    bytes.map((arg) => ["PING", arg]),
    fc.constant(["NOSUCH", "a", "b"]),
    fc.constant(["ECHO"]),
    fc.constant(["GET", "none"]),
    fc.array(bytes, { maxLength: 4 }).map((args) => ["EVAL", "return ARGV", "0", ...args]),
  )
  .map((args) => request(...args));
const text = (...parts: string[]): fc.Arbitrary<Buffer> =>
  fc.constantFrom(...parts).map((part) => Buffer.from(part, "latin1"));
const inline = text(
  "PING\r\n",
  "ping\n",
  'ECHO "a\\x41"\r\n',
  "ECHO 'it\\'s'\r\n",
  'ECHO "open\r\n',
  "\r\n",
  "\n",
  " \r\n",
  "ECHO a  b\r\n",
);
const odd = text(
  "*0\r\n",
  "*-1\r\n",
  "*1\r\n$4\r\nPINGxx",
  "*x\r\n",
  "*1\r\n$-1\r\n",
  "*1\r\n+PING\r\n",
  "$4\r\nPING\r\n",
  "*99999999999\r\n",
  "*01\r\n",
  "*1\r\n$04\r\nPING\r\n",
);
/** One byte is another one, is missing, or comes twice. */
const broken = fc
  .tuple(good, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.constantFrom("set", "drop", "twice"))
  .map(([command, at, byte, how]) => {
    const place = at % command.length;
    const middle = how === "drop" ? [] : how === "set" ? [byte] : [command[place] ?? 0, command[place] ?? 0];
    return Buffer.concat([command.subarray(0, place), Buffer.from(middle), command.subarray(place + 1)]);
  });
const stream = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: good },
      { weight: 2, arbitrary: inline },
      { weight: 1, arbitrary: odd },
      { weight: 2, arbitrary: broken },
    ),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  .map((parts) => Buffer.concat(parts));
const cuts = fc.array(fc.nat(), { maxLength: 4 });

/** Sends in parts. What another client of the same server asks afterwards tells that all of it was answered. */
async function send(client: PlainClient, parts: readonly Buffer[], other: PlainClient): Promise<void> {
  for (const part of parts) {
    if (part.length > 0) client.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await pingTwice(other);
}

function cut(whole: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % whole.length).sort((a, b) => a - b), whole.length];
  return places.slice(1).map((end, i) => whole.subarray(places[i], end));
}

describe.skipIf(!redis.path)(`the request decoder${redis.skipped}`, () => {
  let server: RedisServer;
  let gateway: TestGateway;
  let others: readonly [PlainClient, PlainClient];
  beforeAll(async () => {
    server = await startRedisServer();
    gateway = await startGateway(new TcpEngine(server.port));
    others = [await connectPlain(server.port), await connectPlain(gateway.listener.port)];
  });
  afterAll(async () => {
    for (const other of others) other.destroy();
    await gateway?.stop();
    await server?.stop();
  });

  it("takes and refuses what redis-server does", { timeout: FUZZ_TIMEOUT_MS }, () =>
    fuzz(
      "requests",
      "requests, right and wrong and cut anywhere, to redis-server and to Regears",
      fc.tuple(stream, cuts),
      async ([whole, at]) => {
        const direct = await connectPlain(server.port);
        const through = await connectPlain(gateway.listener.port);
        try {
          await send(direct, [whole], others[0]);
          await send(through, cut(whole, at), others[1]);
          // late is not different, whoever of them it is
          const same = (): boolean => through.pending === direct.pending && through.closed === direct.closed;
          for (let left = 3_000; left > 0 && !same(); left--) await new Promise((resolve) => setTimeout(resolve, 10));
          const [wanted, got] = [direct.pending, through.pending];
          if (!same())
            throw new Error(
              `sent ${JSON.stringify(whole.toString("latin1"))}: redis-server ${JSON.stringify(wanted)}${direct.closed ? " and the end" : ""}, Regears ${JSON.stringify(got)}${through.closed ? " and the end" : ""}`,
            );
        } finally {
          direct.destroy();
          through.destroy();
        }
      },
    ),
  );
});
