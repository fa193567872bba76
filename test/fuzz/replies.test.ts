/** The reply framer: the answers of a redis-server, RESP2 and RESP3 and nested at random, cut anywhere. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, it } from "vitest";
import { FrameSplitter } from "../../src/resp/frames.ts";
import { connectPlain, request } from "../support/plain-client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { FUZZ_TIMEOUT_MS, fuzz } from "./support.ts";

const redis = findRedisServer();

/** Lua that makes a value of every kind that a reply can be. */
const lua = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(
      "1",
      "-7",
      "nil",
      "true",
      "false",
      "''",
      "'\\r\\n'",
      "'$3\\r\\nabc'",
      "redis.status_reply('fine')",
      "redis.error_reply('ERR bad')",
    ),
    fc.double({ noNaN: true, min: -1e6, max: 1e6 }).map((n) => `{double=${n}}`),
    fc.integer({ min: 0, max: 70_000 }).map((length) => `string.rep('ab', ${length >> 1})`),
    fc.constant("{big_number='12345678901234567890'}"),
    fc.constant("{verbatim_string={string='text', format='txt'}}"),
    fc.array(tie("value"), { maxLength: 5 }).map((items) => `{${items.join(",")}}`),
    fc
      .array(tie("value"), { maxLength: 4 })
      .map((items) => `{map={${items.map((item, i) => `k${i}=${item}`).join(",")}}}`),
    fc.array(fc.nat(), { maxLength: 4 }).map((items) => `{set={${items.map((item) => `[${item}]=true`).join(",")}}}`),
  ),
})).value;
const command = fc.oneof(
  { weight: 5, arbitrary: lua.map((value) => ["EVAL", `redis.setresp(3) return ${value}`, "0"]) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ["PING"],
      ["NOSUCH"],
      ["COMMAND", "INFO", "get", "nosuch"],
      ["CLIENT", "LIST"],
      ["CONFIG", "GET", "max*"],
      ["GET", "none"],
      ["LRANGE", "none", "0", "-1"],
    ),
  },
);
const conversation = fc.record({
  version: fc.constantFrom("2", "3"),
  commands: fc.array(command, { minLength: 1, maxLength: 6 }),
  cuts: fc.array(fc.nat(), { maxLength: 8 }),
});
const MARK = "$19\r\nthe end of it, here\r\n";

/** Where the frames of a stream end, when it comes in these parts. */
function ends(parts: readonly Buffer[]): number[] {
  const splitter = new FrameSplitter();
  const found: number[] = [];
  let before = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; ) {
      const end = splitter.end(part, at);
      if (end < 0) break;
      found.push(before + end);
      at = end;
    }
    before += part.length;
  }
  return found;
}

describe.skipIf(!redis.path)(`the reply framer${redis.skipped}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedisServer();
  });
  afterAll(() => server?.stop());

  it("finds as many replies as there were commands, however they are cut", { timeout: FUZZ_TIMEOUT_MS }, () =>
    fuzz(
      "replies",
      "replies of redis-server, RESP2 and RESP3, cut anywhere",
      conversation,
      async ({ version, commands, cuts }) => {
        const client = await connectPlain(server.port);
        try {
          client.send("HELLO", version);
          const all = commands.map((args) => request(...args));
          client.write(Buffer.concat([...all, request("ECHO", "the end of it, here")]));
          await client.until(() => client.pending.endsWith(MARK), 10_000);
          const bytes = Buffer.from(client.pending, "latin1");
          const places = [0, ...cuts.map((place) => place % bytes.length).sort((a, b) => a - b), bytes.length];
          const parts = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
          const whole = ends([bytes]);
          const inParts = ends(parts);
          if (whole.length !== commands.length + 2)
            throw new Error(`${whole.length} replies to ${commands.length + 2} commands`);
          if (whole.at(-1) !== bytes.length || whole.at(-2) !== bytes.length - MARK.length)
            throw new Error("the ends are wrong");
          if (whole.join() !== inParts.join())
            throw new Error(`cut at ${places.join()}: ${inParts.join()} instead of ${whole.join()}`);
        } finally {
          client.destroy();
        }
      },
    ),
  );
});
