/** The schema of what interpreters send: what the runtime sends fits, and nothing else does. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { encodeMarshal, MarshalWriter, type MarshalValue } from "../../src/python/marshal.ts";
import { BadMessage, CALLS, decodeMessage, POSTS } from "../../src/python/messages.ts";
import type { PythonRequest } from "../../src/python/protocol.ts";
import type { Handlers } from "../../src/python/python-host.ts";

const RUNTIME = fileURLToPath(new URL("../../src/python/runtime/", import.meta.url));

const STEPS: MarshalValue = [["map", "RedisGearsPy_ToPyRecordMapper", ""]];
const SPEC = new Map<string, MarshalValue>([
  ["reader", "StreamReader"],
  ["mode", "async"],
  ["desc", null],
  ["session", "1:abc"],
  ["has_on_registered", false],
  ["blob", Buffer.from("x")],
  ["prefix", "s"],
  ["batch", 5],
  ["duration", 0],
  ["onFailedPolicy", "retry"],
  ["onFailedRetryInterval", 1],
  ["trimStream", true],
]);

const TLS = new Map<string, MarshalValue>([
  ["server", "db.example.com"],
  ["verify", true],
  ["identity", null],
  ["protocols", ["h2"]],
  ["defaults", true],
  ["authorities", ""],
  ["certificate", ""],
  ["key", ""],
  ["passphrase", ""],
  ["ciphers", ""],
  ["least", "TLSv1.2"],
  ["most", ""],
]);

/** One message of each kind, as the runtime sends them. */
const CALL_ARGS: Record<keyof typeof CALLS, MarshalValue[]> = {
  execute: [["SET", Buffer.from("k"), "v"], 1],
  call_next: [[], 1],
  atomic: [1, 1],
  keys_open: ["*", false, true, 1],
  keys_next: [1],
  config_get: ["key"],
  register: [1, SPEC, 1],
  run: [STEPS, 0, "1:abc"],
  time_event: [5, null, Buffer.alloc(0), "1:abc", 0],
  timer_begin: [1],
  get_command: [1],
  override_reply: [["a", 1, ["b"]], 1],
  connection_open: [1, "db.example.com", 5432, 4, "1:abc"],
  connection_receive: [1, 65_000, false],
  connection_send: [1, Buffer.from("bytes")],
  connection_poll: [
    [
      [1, 3],
      [2, 1],
    ],
  ],
  connection_state: [1],
  connection_certificate: [1],
};
const POST_ARGS: Record<keyof typeof POSTS, MarshalValue[]> = {
  script: [1, null, 2, [STEPS, "KeysReader", ["map"]], false],
  results: [1, ["a", 1, ["b"], Buffer.from("c")], [["", 3]]],
  done: [
    1,
    [],
    "done",
    ["an error"],
    1.5,
    0,
    [0.25, 0],
    [
      ["", 3],
      ["map", 2],
    ],
    false,
  ],
  sample: [1, 'File "<string>", line 1, in f', 1, 5, []],
  waiting: [1, [["", 3]]],
  running: [1],
  covers: [2, 1],
  open: [],
  keys_close: [1],
  connection_resolve: [1, "db.example.com", null],
  connection_secure: [1, TLS],
  connection_take: [1, 65_000],
  connection_watch: [1, 3],
  connection_shut: [1],
  connection_close: [1],
  connections_end: ["1:abc"],
  log: ["notice", "text", 1, 2],
  answer: [1, "ok", ""],
  timer: [1, "error", "text"],
  restored: [1, "ok", ""],
  timer_restored: [1, "ok", ""],
  compiled: [1, Buffer.from("code")],
};
const CASES: [string, MarshalValue[]][] = [
  ...Object.entries(CALL_ARGS).map(([op, args]): [string, MarshalValue[]] => [op, ["call", 1, op, ...args]]),
  ...Object.entries(POST_ARGS).map(([op, args]): [string, MarshalValue[]] => [op, ["post", op, ...args]]),
];

const decode = (message: MarshalValue): unknown => decodeMessage(encodeMarshal(message));

describe("a message of the runtime's", () => {
  it.each(CASES)("%s is decoded", (op, message) => {
    expect(decode(message)).toMatchObject({ kind: message[0], op });
  });

  it("has one schema for each operation that the runtime names", () => {
    const source = readdirSync(RUNTIME)
      .filter((name) => name.endsWith(".py"))
      .map((name) => readFileSync(RUNTIME + name, "utf8"))
      .join("\n");
    const named = (pattern: RegExp): string[] => [...new Set([...source.matchAll(pattern)].map(([, op]) => op ?? ""))];
    const calls = named(/(?:call|request)\(\s*"(\w+)"|op, args = "(\w+)"/g).filter(Boolean);
    // two of them are named in variables
    expect([...calls, "keys_open", "keys_next"].sort()).toEqual(Object.keys(CALLS).sort());
    const posts = [
      ...named(/(?:post\(|tell\(|\["post", |finalize\(session, tell, )"(\w+)"/g),
      "restored",
      "timer_restored",
    ];
    expect(posts.sort()).toEqual(Object.keys(POSTS).sort());
  });
});

/** One message of each kind that the main thread sends; the compiler sees that none is missing. */
const REQUESTS: { readonly [Kind in PythonRequest[0]]: Extract<PythonRequest, readonly [kind: Kind, ...unknown[]]> } = {
  script: ["script", 1, "1:abc", Buffer.from("x = 1"), 0],
  start: ["start", 1, 0],
  event: ["event", 1, 2, [["x"]], 0],
  events: [
    "events",
    2,
    0,
    [
      [1, [["x"]]],
      [2, [["y"]]],
    ],
  ],
  chunk: ["chunk", 0],
  discard: ["discard", 1],
  abort: ["abort", 1],
  unregister: ["unregister", 2],
  registered: ["registered", 3, 2],
  profile: ["profile", 3, "1:abc", "stats", "tottime"],
  restore: ["restore", "1:abc", 2, Buffer.from("x")],
  restore_timer: ["restore_timer", "1:abc", 2, Buffer.from("x")],
  timer: ["timer", 2, 3],
  timer_drop: ["timer_drop", 2],
  connection: ["connection", 1, "take", Buffer.from("bytes")],
  packages: ["packages"],
  compile: ["compile", 1, "a.py", Buffer.from("x = 1")],
};

describe("a message to the runtime", () => {
  it("has a handler in Python, with a parameter for each field", () => {
    const source = readFileSync(`${RUNTIME}main.py`, "utf8");
    const [, table = ""] = /_HANDLERS = \{\n([\s\S]*?)\n\}/.exec(source) ?? [];
    const handlers = new Map(
      [...table.matchAll(/"(\w+)": ([\w.]+),/g)].map(([, kind = "", name = ""]) => [kind, name]),
    );
    expect([...handlers.keys()].sort()).toEqual(Object.keys(REQUESTS).sort());
    const fields = (kind: string): number => {
      const [module = "", name = ""] = (handlers.get(kind) ?? "").split(/\.(?=\w+$)/);
      const file = name === "" ? source : readFileSync(`${RUNTIME}${module}.py`, "utf8");
      const [, parameters = "?"] = new RegExp(`def ${name || module}\\(([^)]*)\\)`).exec(file) ?? [];
      return parameters === "" ? 0 : parameters.split(",").length;
    };
    for (const [kind, [, ...given]] of Object.entries(REQUESTS))
      expect([kind, fields(kind)]).toEqual([kind, given.length]);
  });

  it("is one of those declared: anything else is an error of the compiler", () => {
    // @ts-expect-error an execution's id is a text
    const wrongField: PythonRequest = ["start", 1, 2, 0];
    // @ts-expect-error there is no such kind
    const wrongKind: PythonRequest = ["stop", 1];
    const { atomic: _, ...rest } = {} as Handlers;
    // @ts-expect-error a handler is missing
    const incomplete: Handlers = rest;
    expect([wrongField, wrongKind, incomplete]).toHaveLength(3);
  });
});

/** What stands in place of a right value. */
const WRONG: [string, MarshalValue][] = [
  ["None", null],
  ["True", true],
  ["-1", -1],
  ["0.5", 0.5],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["2 ** 53", 2n ** 53n],
  ["2 ** 1000", 2n ** 1000n],
  ["text", "text"],
  ["bytes", Buffer.from("bytes")],
  ["a list", [1]],
  ["a dict", new Map([["a", 1]])],
];

describe("a message that no runtime sends", () => {
  const refused = (message: MarshalValue): void => expect(() => decode(message)).toThrow(BadMessage);

  it.each([
    ["nothing", []],
    ["a kind that there is not", ["reply", 1, 0, null]],
    ["an operation that there is not", ["call", 1, "open", 1]],
    ["a property of every object", ["call", 1, "constructor"]],
    ["a call in place of a post", ["call", 1, "done", 1, [], "done", [], 0, 0, [], [], false]],
    ["a sequence that is a float", ["call", 1.5, "keys_next", 1]],
    ["a sequence that is too large", ["call", 2n ** 53n, "keys_next", 1]],
    ["no list", "post"],
  ] as [string, MarshalValue][])("is %s", (_name, message) => refused(message));

  it.each(CASES)("%s with a field less, or one more", (_op, message) => {
    refused(message.slice(0, -1));
    refused([...message, 1]);
  });

  it.each(CASES)("%s with bytes after it", (_op, message) => {
    expect(() => decodeMessage(Buffer.concat([encodeMarshal(message), Buffer.from("N")]))).toThrow(BadMessage);
  });

  // results may be nearly anything: see below
  it.each(CASES.filter(([op]) => op !== "override_reply"))("%s with fields of other types", (_op, message) => {
    const first = message[0] === "call" ? 3 : 2;
    for (let at = first; at < message.length; at++) {
      const right = message[at];
      const fitting = WRONG.filter(([, wrong]) => {
        const changed = message.with(at, wrong);
        try {
          decode(changed);
          return true;
        } catch (error) {
          expect(error).toBeInstanceOf(BadMessage);
          return false;
        }
      });
      // of the wrong ones a field takes at most those that it could have had
      const kinds = new Set(fitting.map(([name]) => name));
      for (const number of ["-1", "0.5", "NaN", "Infinity", "2 ** 53", "2 ** 1000"])
        if (typeof right !== "number") expect(kinds).not.toContain(number);
      for (const number of ["NaN", "Infinity", "2 ** 53", "2 ** 1000", "True"])
        if (typeof right === "number") expect(kinds).not.toContain(number);
      if (typeof right === "string" && at > first) expect(kinds).not.toContain("a list");
    }
  });

  it.each([
    ["eventTypes", 5],
    ["keyTypes", ["hash", 5]],
    ["commands", "get"],
    ["batch", 0],
    ["batch", 0.5],
    ["batch", Number.NaN],
    ["duration", Number.POSITIVE_INFINITY],
    ["onFailedPolicy", "explode"],
    ["reader", "PythonReader"],
    ["mode", "never"],
    ["session", "abc"],
    ["session", "0x1:abc"],
    ["blob", 5],
    ["number", 1],
    ["__proto__", 1],
  ] as [string, MarshalValue][])("registers with %s %s", (field, value) => {
    refused(["call", 1, "register", 0, new Map([...SPEC, [field, value]]), 0]);
  });

  it("registers without a field that every registration has, or with one twice", () => {
    const less = new Map(SPEC);
    less.delete("blob");
    refused(["call", 1, "register", 0, less, 0]);
    const twice = new MarshalWriter().list(6).text("call").int(1).text("register").int(0).dict();
    for (const [key, value] of [...SPEC, ["batch", 5] as const]) twice.text(key).value(value);
    expect(() => decodeMessage(twice.dictEnd().int(0).finish())).toThrow(BadMessage);
  });

  it.each([
    ["None", null],
    ["a float", 0.5],
    ["a bool", true],
    ["a dict", new Map()],
    ["an integer of more than 64 bits", 2n ** 63n],
    ["something in a list", [[["a"], null]]],
  ] as [string, MarshalValue][])("has %s as a result", (_name, result) => {
    refused(["post", "results", 1, [result], []]);
    refused(["post", "done", 1, [result], "done", [], 0, 0, [], [], false]);
    refused(["call", 1, "override_reply", result, 1]);
  });

  it("has more elements than may be", () => {
    const list = (count: number): Buffer => {
      const out = new MarshalWriter(count * 6 + 100).list(count);
      for (let i = 0; i < count; i++) out.bytes(Buffer.alloc(0));
      return out.finish();
    };
    const [mostArguments, most] = [262_144, 1_048_576];
    const call = (count: number): Buffer =>
      new MarshalWriter().list(5).text("call").int(1).text("execute").encoded(list(count)).int(0).finish();
    const results = (count: number): Buffer =>
      new MarshalWriter().list(5).text("post").text("results").int(1).encoded(list(count)).list(0).finish();
    expect(() => decodeMessage(call(mostArguments))).not.toThrow();
    expect(() => decodeMessage(call(mostArguments + 1))).toThrow(BadMessage);
    expect(() => decodeMessage(results(most))).not.toThrow();
    expect(() => decodeMessage(results(most + 1))).toThrow(BadMessage);
    const nested = new MarshalWriter().list(5).text("post").text("results").int(1).list(2);
    expect(() => decodeMessage(nested.encoded(list(600_000)).encoded(list(600_000)).list(0).finish())).toThrow(
      BadMessage,
    );
  });

  it("nests too deeply", () => {
    let deep: MarshalValue = [];
    for (let i = 0; i < 500; i++) deep = [deep];
    expect(decode(["post", "results", 1, [deep], []])).toBeDefined();
    for (let i = 0; i < 1_000; i++) deep = [deep];
    refused(["post", "results", 1, [deep], []]);
  });

  it("has an integer of a megabyte", () => {
    const digits = 500_000;
    const long = Buffer.alloc(5 + digits * 2, 0x7f);
    long[0] = 0x6c;
    long.writeInt32LE(digits, 1);
    const message = new MarshalWriter()
      .list(5)
      .text("post")
      .text("results")
      .int(1)
      .list(1)
      .encoded(long)
      .list(0)
      .finish();
    expect(() => decodeMessage(message)).toThrow(/too large/);
  });

  it("has a long line for the log", () => {
    expect(decode(["post", "log", "notice", "x".repeat(16_384), 0, 0])).toBeDefined();
    refused(["post", "log", "notice", "x".repeat(100_000), 0, 0]);
  });
});
