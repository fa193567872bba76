/** The parts of the client that need no engine. */
import { describe, expect, it } from "vitest";
import { EngineClient, EngineClosed, encodeCommand, encodeCommands } from "../../src/engine/engine-client.ts";
import type { EngineConnection } from "../../src/engine/engine.ts";
import { LastingClient } from "../../src/engine/lasting-client.ts";
import { parseEngineUrl } from "../../src/engine/url.ts";
import { ConfigError } from "../../src/config.ts";
import { InternalError } from "../../src/errors.ts";
import { plain } from "./engine.cases.ts";

/** A connection whose other end is the test. */
function fakeConnection(): { connection: EngineConnection; written: Buffer[]; closes: number } {
  const state = { written: [] as Buffer[], closes: 0 };
  const connection: EngineConnection = {
    write: (bytes) => state.written.push(Buffer.from(bytes)) > 0,
    onData: () => {},
    onDrain: () => {},
    onClose: () => {},
    pause: () => {},
    resume: () => {},
    close: () => {
      state.closes++;
    },
  };
  return Object.assign(state, { connection });
}

describe("encodeCommand", () => {
  it("counts bytes, not characters, and takes bytes as they are", () => {
    const bytes = encodeCommand(["SET", "schlüssel", Buffer.from([0, 255, 13, 10]), "", new Uint8Array([65])]);
    expect(bytes.toString("latin1")).toBe(
      "*5\r\n$3\r\nSET\r\n$10\r\nschl\u00c3\u00bcssel\r\n$4\r\n\0\u00ff\r\n\r\n$0\r\n\r\n$1\r\nA\r\n",
    );
  });

  it("writes lengths of any size", () => {
    for (const length of [1, 9, 10, 99, 100, 12_345, 1_000_000]) {
      const head = encodeCommand([Buffer.alloc(length)]).subarray(0, 6 + String(length).length);
      expect(head.toString()).toBe(`*1\r\n$${length}\r`);
    }
    const many = Array.from({ length: 1000 }, () => "x");
    expect(encodeCommands([["A"], many]).toString()).toBe(`*1\r\n$1\r\nA\r\n*1000\r\n${"$1\r\nx\r\n".repeat(1000)}`);
  });
});

describe("EngineClient", () => {
  it("gives each reply to its call, however the bytes are cut", async () => {
    for (const size of [1, 2, 5, 1000]) {
      const { connection } = fakeConnection();
      const client = new EngineClient(connection);
      const asked = [
        client.call("A"),
        client.rawCall(encodeCommand(["B"]), 2),
        client.pipeline([["C"], ["D"]]),
        client.call("E").catch(String),
        client.rawCall(encodeCommand(["F"]), 1),
      ];
      const text = "*3\r\n:1\r\n$2\r\nab\r\n-inner\r\n+OK\r\n*1\r\n$-1\r\n-ERR no\r\n$-1\r\n-ERR e\r\n$3\r\nf\r\n\r\n";
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += size) connection.onData(Buffer.from(bytes.subarray(at, at + size)));
      const [first, second, third, fourth, fifth] = await Promise.all(asked);
      expect(plain(first as never)).toEqual([1, "ab", "-inner"]);
      expect(String(second)).toBe("+OK\r\n*1\r\n$-1\r\n");
      expect(plain(third as never)).toEqual(["-ERR no", null]);
      expect(fourth).toBe("EngineError: ERR e");
      expect(String(fifth)).toBe("$3\r\nf\r\n\r\n");
    }
  });

  it("keeps the order when an answer causes a call that is answered at once", async () => {
    const { connection } = fakeConnection();
    const client = new EngineClient(connection);
    const got: string[] = [];
    const first = client.rawCall(encodeCommand(["A"]), 1).then((reply) => {
      got.push(`a ${reply}`);
      const third = client.ask(encodeCommand(["C"]));
      connection.onData(Buffer.from("+C\r\n"));
      return third;
    });
    const second = client.rawCall(encodeCommand(["B"]), 1).then((reply) => got.push(`b ${reply}`));
    connection.onData(Buffer.from("+A\r\n+B\r\n"));
    got.push(`c ${await first}`);
    await second;
    expect(got).toEqual(["a +A\r\n", "b +B\r\n", "c +C\r\n"]);
  });

  it("gives a reply within the call where the engine can, and later elsewhere", async () => {
    const { connection } = fakeConnection();
    const client = new EngineClient(connection);
    const later = client.ask(encodeCommand(["A"]), 1);
    expect(later).toBeInstanceOf(Promise);
    connection.onData(Buffer.from("+A\r\n"));
    expect(String(await later)).toBe("+A\r\n");
    connection.write = () => {
      connection.onData(Buffer.from("+B\r\n"));
      return true;
    };
    expect(client.ask(encodeCommand(["B"]), 1)).toEqual(Buffer.from("+B\r\n"));
    connection.write = () => true;
    const lost = client.ask(encodeCommand(["C"]), 1);
    connection.onClose();
    await expect(lost).rejects.toThrow(EngineClosed);
    expect(() => client.ask(encodeCommand(["D"]), 1)).toThrow(EngineClosed);
  });

  it("gives all of a long reply within the call if it is to be whole", () => {
    const { connection } = fakeConnection();
    const parts = ["$6\r\n", "abc", "def\r\n"];
    const flushNow = (): void => connection.onData(Buffer.from(parts.shift() ?? ""));
    const client = new EngineClient(Object.assign(connection, { flushNow }));
    expect(client.ask(encodeCommand(["A"]), 1, "whole")).toEqual(Buffer.from("$6\r\nabcdef\r\n"));
  });

  it("is opened anew when it has ended, if it is to last", async () => {
    const opened: ReturnType<typeof fakeConnection>[] = [];
    const lasting = new LastingClient(() => {
      const made = fakeConnection();
      opened.push(made);
      return new EngineClient(made.connection);
    });
    const ask = (): unknown => void Promise.resolve(lasting.ask(encodeCommand(["A"]))).catch(() => {});
    expect(opened).toHaveLength(0);
    for (let count = 0; count < 2; count++) ask();
    expect(opened.map(({ written }) => written.length)).toEqual([2]);
    opened[0]?.connection.onClose();
    ask();
    expect(opened.map(({ written }) => written.length)).toEqual([2, 1]);
    lasting.close();
    expect(opened[1]?.closes).toBe(1);
    ask();
    expect(opened).toHaveLength(3);
  });

  it("rejects what waits, and what comes later, when the connection ends", async () => {
    const { connection } = fakeConnection();
    const client = new EngineClient(connection);
    const reasons: string[] = [];
    client.onClose = (reason) => reasons.push(reason.message);
    const waiting = [client.call("A"), client.pipeline([["B"], ["C"]]), client.rawCall(encodeCommand(["D"]), 1)];
    const settled = Promise.allSettled(waiting);
    connection.onData(Buffer.from("+A\r\n+B\r\n"));
    connection.onClose(new InternalError("it burns"));
    expect((await settled).map((one) => one.status)).toEqual(["fulfilled", "rejected", "rejected"]);
    await expect(client.call("E")).rejects.toThrow(EngineClosed);
    expect(() => client.ask(encodeCommand(["F"]))).toThrow("it burns");
    expect(reasons).toEqual(["it burns"]);
  });

  it("ends the connection when the other side does not speak RESP, or says why it refuses", () => {
    for (const [bytes, reason] of [
      ["HTTP/1.1 400 Bad Request\r\n", "the engine's reply is not RESP"],
      [`${"*1\r\n".repeat(100_000)}:1\r\n`, "the engine's reply is nested too deeply"],
      ["-ERR max number of clients reached\r\n", "ERR max number of clients reached"],
    ] as const) {
      const fake = fakeConnection();
      const client = new EngineClient(fake.connection);
      const reasons: string[] = [];
      client.onClose = (error) => reasons.push(error.message);
      fake.connection.onData(Buffer.from(bytes));
      expect([reasons, fake.closes]).toEqual([[reason], 1]);
    }
  });
});

describe("parseEngineUrl", () => {
  it("understands all forms and hides the password", () => {
    const cases: [string, object][] = [
      ["redis://localhost", { connect: { host: "localhost", port: 6379, noDelay: true }, tls: false, database: 0 }],
      ["redis://h:7000/3", { connect: { host: "h", port: 7000, noDelay: true }, database: 3, user: undefined }],
      ["redis://:p%40ss@h", { password: "p@ss", user: undefined, description: "redis://h:6379/0" }],
      ["redis://me:pw@h/1", { password: "pw", user: "me", description: "redis://me@h:6379/1" }],
      [
        "rediss://[::1]:1",
        { connect: { host: "::1", port: 1, noDelay: true }, tls: true, description: "rediss://[::1]:1/0" },
      ],
      ["unix:///run/redis.sock", { connect: { path: "/run/redis.sock" }, description: "unix:///run/redis.sock" }],
      ["unix://me:pw@/a%20b?db=2", { connect: { path: "/a b" }, user: "me", password: "pw", database: 2 }],
    ];
    for (const [url, parts] of cases) expect(parseEngineUrl(url)).toMatchObject(parts);
  });

  it("refuses others, without telling the password", () => {
    const bad = [
      "",
      "h:6379",
      "http://h",
      "redis://h/x",
      "redis://:secret@h:99999",
      "unix://host/path",
      "redis://:secret%@h",
    ];
    for (const url of bad) {
      const error = (() => {
        try {
          return parseEngineUrl(url);
        } catch (reason) {
          return reason;
        }
      })();
      expect(error).toBeInstanceOf(ConfigError);
      expect(String(error)).not.toContain("secret");
    }
  });
});
