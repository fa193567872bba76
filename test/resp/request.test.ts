import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nameHash, RequestDecoder, type RequestLimits } from "../../src/resp/request-decoder.ts";
import { cpuMs } from "../support/cpu.ts";
import { connectPlain, request } from "../support/plain-client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";

interface Decoded {
  readonly commands: string[][];
  readonly runs: string;
  readonly failure: string | undefined;
}

/** Decodes with the input cut into pieces of `size` bytes. */
function decode(input: Buffer, size: number, limits: Partial<RequestLimits> = {}, authenticated = true): Decoded {
  const decoder = new RequestDecoder(limits);
  decoder.authenticated = authenticated;
  const commands: string[][] = [];
  let runs = "";
  for (let at = 0; at < input.length && !decoder.failure; at += size) {
    decoder.feed(Buffer.from(input.subarray(at, at + size)));
    while (decoder.next()) commands.push(decoder.copy(0).map((arg) => arg.toString("latin1")));
    runs += decoder.takeRun()?.toString("latin1") ?? "";
  }
  return { commands, runs, failure: decoder.failure && (decoder.failure.text ?? "closed") };
}

const ok = (name: string, input: string, ...commands: string[][]) => ({ name, input, commands, failure: undefined });
const bad = (name: string, input: string, failure: string, ...commands: string[][]) => ({
  name,
  input,
  commands,
  failure,
});
const problem = (text: string): string => `ERR Protocol error: ${text}`;

const CASES = [
  ok("a multibulk command", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", ["GET", "a"]),
  ok("an empty argument", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", ["ECHO", ""]),
  ok("bytes that look like protocol", "*2\r\n$4\r\nECHO\r\n$8\r\n*1\r\n$1\r\n\r\n", ["ECHO", "*1\r\n$1\r\n"]),
  ok("empty requests are no commands", "*0\r\n*-1\r\n\r\n\n   \r\nPING\r\n", ["PING"]),
  ok("an inline command", "SET  a\tb\r\n", ["SET", "a", "b"]),
  ok("an inline command ended by LF alone", "PING\nECHO x\n", ["PING"], ["ECHO", "x"]),
  ok("inline and multibulk in turn", "PING\r\n*1\r\n$4\r\nPING\r\nECHO a\r\n", ["PING"], ["PING"], ["ECHO", "a"]),
  ok("double quotes", 'ECHO "a b\\n\\x41\\x4\\"\\q"\r\n', ["ECHO", 'a b\nAx4"q']),
  ok("single quotes", "ECHO 'a \\n \\'b'\r\n", ["ECHO", "a \\n 'b"]),
  ok("quotes within a word", "ECHO a'b c'\r\n", ["ECHO", "ab c"]),
  ok("empty quotes", "ECHO ''\r\n", ["ECHO", ""]),
  ok("escapes", 'ECHO "\\r\\t\\b\\a\\\\"\r\n', ["ECHO", "\r\t\b\x07\\"]),
  bad("no closing quote", 'ECHO "a\r\n', problem("unbalanced quotes in request")),
  bad("a letter after a closing quote", "ECHO 'a'b\r\n", problem("unbalanced quotes in request")),
  bad("a count that is no number", "*x\r\n", problem("invalid multibulk length")),
  bad("a count with leading zero", "*01\r\n", problem("invalid multibulk length")),
  bad("no count", "*\r\n", problem("invalid multibulk length")),
  bad("a count that is too big", "*2147483648\r\n", problem("invalid multibulk length")),
  bad("a count beyond 64 bits", "*99999999999999999999\r\n", problem("invalid multibulk length")),
  bad("no dollar", "*1\r\nfoo\r\n", problem("expected '$', got 'f'")),
  bad("a second command without dollar", "PING\r\n*1\r\n:1\r\n", problem("expected '$', got ':'"), ["PING"]),
  bad("a length that is no number", "*1\r\n$x\r\n", problem("invalid bulk length")),
  bad("a negative length", "*1\r\n$-1\r\n", problem("invalid bulk length")),
  bad("a length with a blank", "*1\r\n$ 1\r\n", problem("invalid bulk length")),
  bad("a length with a plus", "*1\r\n$+1\r\na\r\n", problem("invalid bulk length")),
  bad("a length beyond proto-max-bulk-len", "*1\r\n$536870913\r\n", problem("invalid bulk length")),
  bad("too long a count", `*${"1".repeat(70000)}`, problem("too big mbulk count string")),
  bad("too long a length", `*1\r\n$${"1".repeat(70000)}`, problem("too big bulk count string")),
  bad("too long an inline command", "a".repeat(70000), problem("too big inline request")),
];
const BATCH = CASES.filter(({ failure }) => !failure);

describe("RequestDecoder", () => {
  for (const { name, input, commands, failure } of CASES) {
    it(`whole: ${name}`, () => {
      expect(decode(Buffer.from(input, "latin1"), Number.MAX_SAFE_INTEGER)).toMatchObject({ commands, failure });
    });
    it(`byte by byte: ${name}`, () => {
      expect(decode(Buffer.from(input, "latin1"), 1)).toMatchObject({ commands, failure });
    });
  }

  it.each([1, 2, 3, 5, 7, 11, 64, 1000])("a long pipeline in pieces of %i bytes", (size) => {
    const input = Buffer.from(
      BATCH.map(({ input }) => input)
        .join("")
        .repeat(20),
      "latin1",
    );
    const decoded = decode(input, size);
    expect(decoded.commands).toEqual(
      Array.from({ length: 20 }, () => BATCH.flatMap(({ commands }) => commands)).flat(),
    );
    expect(decoded.runs).toBe(input.toString("latin1"));
  });

  it("leaves commands out of the run around them", () => {
    const decoder = new RequestDecoder();
    decoder.feed(
      Buffer.concat([request("SET", "a", "1"), request("RG.X"), request("GET", "a"), Buffer.from("*2\r\n$3\r\nGE")]),
    );
    expect(decoder.next() && decoder.next()).toBe(true);
    expect(decoder.view(0).toString()).toBe("RG.X");
    expect(decoder.raw()).toEqual(request("RG.X"));
    expect(decoder.takeBefore()).toEqual(request("SET", "a", "1"));
    expect(decoder.next()).toBe(true);
    expect(decoder.next()).toBe(false);
    expect(decoder.takeRun()).toEqual(request("GET", "a"));
    expect(decoder.takeRun()).toBeUndefined();
    decoder.feed(Buffer.from("T\r\n$1\r\nb\r\n"));
    expect(decoder.next()).toBe(true);
    expect(decoder.raw()).toEqual(request("GET", "b"));
    expect(decoder.takeRun()).toEqual(request("GET", "b"));
  });

  it("has limits for clients that must authenticate", () => {
    const many = request(...Array.from({ length: 11 }, () => "a"));
    expect(decode(many, 100, {}, false).failure).toBe(problem("unauthenticated multibulk length"));
    expect(decode(request("ECHO", "a".repeat(16385)), 100, {}, false).failure).toBe(
      problem("unauthenticated bulk length"),
    );
    expect(decode(many, 100).commands).toHaveLength(1);
  });

  it("keeps its own limits", () => {
    expect(decode(request("ECHO", "abcd"), 1, { maxBulk: 3 }).failure).toBe(problem("invalid bulk length"));
    expect(decode(request("A", "B", "C"), 1, { maxArgs: 2 }).failure).toBe(problem("invalid multibulk length"));
    expect(decode(request("ECHO", "a".repeat(2000)), 100, { maxBuffer: 1000 }).failure).toBe("closed");
    expect(decode(request("ECHO", "a").subarray(0, 20), 1, { maxBuffer: 1000 }).failure).toBeUndefined();
  });

  it("copies do not keep the chunk they came in", () => {
    const decoder = new RequestDecoder();
    decoder.feed(Buffer.concat([request("ECHO", "a"), Buffer.alloc(60_000, "x")]));
    expect(decoder.next()).toBe(true);
    expect(decoder.copy(1).map((arg) => arg.buffer.byteLength)).toEqual([1]);
  });

  it("takes big arguments in linear time", () => {
    const time = (length: number): number => {
      const input = request("SET", "a", Buffer.alloc(length, 97));
      const decoder = new RequestDecoder();
      return cpuMs(() => {
        for (let at = 0; at < input.length; at += 4096) {
          decoder.feed(Buffer.from(input.subarray(at, at + 4096)));
          if (decoder.next()) expect(decoder.view(2)).toHaveLength(length);
          decoder.takeRun();
        }
      });
    };
    time(1_000_000);
    // Eight times the bytes; quadratic would be 64 times. Of several runs the shortest has the least of other things in it.
    const best = (length: number): number => Math.min(time(length), time(length), time(length));
    expect(best(32_000_000)).toBeLessThan(30 * Math.max(best(4_000_000), 10));
  });

  it("hashes names without regard to case", () => {
    const decoder = new RequestDecoder();
    for (const name of ["subscribe", "SUBSCRIBE", "SubScribe"]) {
      decoder.feed(request(name, "a"));
      decoder.next();
      expect(decoder.nameHash).toBe(nameHash("subscribe"));
      decoder.takeRun();
    }
    decoder.feed(Buffer.from("rg.X\r\n"));
    decoder.next();
    expect(decoder.nameHash).toBe(nameHash("RG.x"));
    expect(nameHash("get")).not.toBe(nameHash("set"));
  });
});

const redis = findRedisServer();
describe.skipIf(!redis.path)(`against redis-server${redis.skipped}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedisServer();
  });
  afterAll(() => server?.stop());

  // The server counts 2^31-1 arguments as many and we do not; every other text is the same.
  for (const { name, input, commands, failure } of CASES) {
    it(name, async () => {
      const client = await connectPlain(server.port);
      client.write(Buffer.from(input, "latin1"));
      if (failure) {
        const replies = await client.readToEnd();
        expect(replies.endsWith(`-${failure}\r\n`)).toBe(true);
        expect(replies.split("\r\n").length - 2).toBe(commands.length);
      } else {
        // Each command is compared by what Redis understood: an echo of its last argument.
        client.send("ECHO", "end");
        await client.until(() => client.pending.endsWith("$3\r\nend\r\n"));
        for (const [command, ...args] of commands) {
          if (command === "ECHO") expect(client.pending).toContain(`$${args[0]?.length}\r\n${args[0]}\r\n`);
        }
        const replies = client.pending;
        expect(replies.match(/^(?:[+-][^\r]*|\$-1)\r\n|\$\d+\r\n/gm)).toHaveLength(
          commands.length + 1 + (replies.match(/\*1\r\n\$1/g)?.length ?? 0),
        );
      }
      client.destroy();
    });
  }
});
