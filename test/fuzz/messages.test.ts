/**
 * Messages that an interpreter sends: right ones, right ones with something changed, and noise. Whatever they are, the server
 * goes on answering, does not hang, and nothing of another user changes.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { figure } from "../support/figures.ts";
import { admin, bystander, connectMallory, forging, server, setTheScene } from "../support/mallory.ts";
import { pingsDuring } from "../support/ping-probe.ts";
import { pingLimit } from "../support/serving.ts";
import { BadMessage, CALLS, decodeMessage, POSTS } from "../../src/python/messages.ts";
import { encodeMarshal } from "../../src/python/marshal.ts";
import { fuzz, FUZZ_TIMEOUT_MS } from "./support.ts";

/** What a script of the attacker's begins with. `forged` sends what it is given, and is never surprised by the answer. */
const PRELUDE = `
import os
${forging("a:forged")}
inf = float('inf')
deep = []
for _ in range(900): deep = [deep]
def send(*message):
    bridge.send(list(message))
`;

/** Numbers that name something: what is the attacker's, what may be another's, and what can not be. */
const names = fc.oneof(fc.constantFrom("handle", "0"), fc.integer({ min: 0, max: 60 }).map(String));
const odd = fc.constantFrom(
  ...["nan", "inf", "-inf", "-0.0", "0.5", "-1", "2**31", "2**53", "2**63", "(1 << 9000) - 1", "True", "None", "''"],
  ...[
    "b''",
    "'x' * 100_000",
    "'\\ud800'",
    "[]",
    "{}",
    "{'a': 1}",
    "deep",
    "[b''] * 100_000",
    "spec",
    "key",
    "'1:bystander'",
  ],
);
const value = fc.oneof({ weight: 2, arbitrary: odd }, { weight: 1, arbitrary: names });

/** Right messages, with a number that may be anybody's. */
const RIGHT: ((name: string) => string[])[] = [
  (name) => ["'call'", "1", "'execute'", "['PING']", name],
  (name) => ["'call'", "1", "'execute'", "['SET', 'a:k', 'v']", name],
  (name) => ["'call'", "1", "'call_next'", "['x']", name],
  (name) => ["'call'", "1", "'atomic'", "1", name],
  (name) => ["'call'", "1", "'atomic'", "0", name],
  (name) => ["'call'", "1", "'keys_open'", "'*'", "False", "True", name],
  (name) => ["'call'", "1", "'keys_next'", name],
  () => ["'call'", "1", "'config_get'", "'x'"],
  (name) => ["'call'", "1", "'register'", "0", "spec", name],
  (name) => ["'call'", "1", "'run'", "[]", name, "key"],
  (name) => ["'call'", "1", "'time_event'", "1", "None", "b''", "key", name],
  (name) => ["'call'", "1", "'timer_begin'", name],
  (name) => ["'call'", "1", "'get_command'", name],
  (name) => ["'call'", "1", "'override_reply'", "'x'", name],
  (name) => ["'post'", "'script'", name, "None", "0", "None", "False"],
  (name) => ["'post'", "'script'", name, "None", "0", "[[], 'x', []]", "True"],
  (name) => ["'post'", "'results'", name, "['x', 1, ['y']]"],
  (name) => ["'post'", "'done'", name, "[]", "'done'", "[]", "0", "0", "[]", "[]"],
  (name) => ["'post'", "'done'", name, "['x']", "'aborted'", "['error']", "0.5", "0", "[1.5]", "[['', 1]]"],
  (name) => ["'post'", "'waiting'", name, "[]"],
  (name) => ["'post'", "'running'", name],
  (name) => ["'post'", "'keys_close'", name],
  () => ["'post'", "'log'", "'debug'", "'x'", "0", "0"],
  (name) => ["'post'", "'sample'", name, "''", "0", "0", "[]"],
  ...["answer", "timer", "restored", "timer_restored"].flatMap((op) =>
    ["ok", "error"].map((outcome) => (name: string) => ["'post'", `'${op}'`, name, `'${outcome}'`, "'x'"]),
  ),
];

const right = fc.tuple(fc.constantFrom(...RIGHT), names).map(([make, name]) => make(name));
const mutated = fc
  .tuple(
    right,
    fc.array(fc.tuple(fc.nat(12), value, fc.constantFrom("set", "add", "drop")), { minLength: 1, maxLength: 3 }),
  )
  .map(([message, changes]) =>
    changes.reduce((changed, [at, to, how]) => {
      const place = at % changed.length;
      if (how === "set") return changed.with(place, to);
      return how === "add" ? changed.toSpliced(place, 0, to) : changed.toSpliced(place, 1);
    }, message),
  )
  .filter((message) => message.length > 0);
const asSend = (message: readonly string[]): string => `send(${message.join(", ")})`;
const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => `os.write(bridge._fd, bytes([${bytes.join(",")}]))`);
const times = (line: string, count: number): string => `for _ in range(${count}): ${line}`;
const line = fc.oneof(
  { weight: 6, arbitrary: mutated.map(asSend) },
  { weight: 4, arbitrary: right.map(asSend) },
  { weight: 1, arbitrary: fc.tuple(right.map(asSend), fc.nat(2_000)).map(([sent, count]) => times(sent, count)) },
  { weight: 1, arbitrary: noise },
);
/** Where the messages are sent from: a script's body, a step, a coroutine or a time event. */
const place = fc.constantFrom<(body: string) => string>(
  (body) => body,
  (body) => `def step(x):\n${indented(body)}\nGB('PythonReader').map(step).run(lambda: (yield 1))`,
  (body) => `async def later(x):\n${indented(body)}\nGB('PythonReader').map(later).run(lambda: (yield 1))`,
);
const indented = (body: string): string => body.replaceAll(/^/gm, "    ");
const scripts = fc.tuple(fc.array(line, { minLength: 1, maxLength: 8 }), place);

/** Each input may cost an interpreter, which takes its time to be replaced. */
const FEWEST = 3;
const ANSWER_MS = 500;

/** Messages as bytes: marshal of anything, with some bytes changed. */
const atom = fc.oneof(
  ...[
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.bigInt(),
    fc.double(),
    fc.string(),
    fc.constantFrom("ok", "1:x"),
  ],
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
);
const fields = fc.array(fc.oneof({ weight: 4, arbitrary: atom }, { weight: 1, arbitrary: fc.array(atom) }), {
  maxLength: 9,
});
const operation = fc.constantFrom(...Object.keys(CALLS), ...Object.keys(POSTS));
const encoded = fc
  .tuple(fc.boolean(), operation, fields)
  .map(([isCall, op, rest]) => encodeMarshal(isCall ? ["call", 1, op, ...rest] : ["post", op, ...rest]));
const changedBytes = fc
  .tuple(encoded, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
  .map(([bytes, changes]) => {
    const changed = Buffer.from(bytes);
    for (const [at, to] of changes) changed[at % changed.length] = to;
    return changed;
  });

describe("the bytes of a message", () => {
  it("are decoded, or refused as no message of ours", { timeout: FUZZ_TIMEOUT_MS }, () =>
    fuzz("message-bytes", "Messages of random bytes", changedBytes, (bytes) => {
      const begun = performance.now();
      try {
        decodeMessage(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(BadMessage);
      }
      expect(performance.now() - begun).toBeLessThan(1_000);
    }),
  );
});

describe("messages from an interpreter", () => {
  setTheScene();

  /** Lets mallory run a script; one that is never answered is aborted, which always works. */
  const attack = async (code: string): Promise<void> => {
    const mallory = await connectMallory();
    try {
      const id = String(await mallory.call("RG.PYEXECUTE", code, "UNBLOCKING"));
      const blocking = mallory.call("RG.GETRESULTSBLOCKING", id).catch(() => null);
      const patience = new Promise((resolve) => setTimeout(resolve, ANSWER_MS).unref());
      await Promise.race([blocking, patience]);
      // not there any more: it has ended
      await admin.call("RG.ABORTEXECUTION", id).catch(() => null);
      await blocking;
    } finally {
      mallory.close();
    }
  };

  it("change nothing of another user", { timeout: FUZZ_TIMEOUT_MS }, async () => {
    const limit = await pingLimit(server.port);
    const { pings } = await pingsDuring(server.port, () =>
      fuzz(
        "messages",
        "Messages that an interpreter forges",
        scripts,
        async ([lines, inPlace]) => {
          await attack(PRELUDE + inPlace(lines.join("\n")));
          // what is the attacker's goes: only what is left is compared
          for (const lines of (await admin.call("RG.DUMPREGISTRATIONS")) as unknown[][])
            if (JSON.stringify(lines).includes("a:forged")) await admin.call("RG.UNREGISTER", String(lines[1]));
          await bystander.check();
        },
        FEWEST,
      ),
    );
    await bystander.checkWaiting();
    expect(server.process.exitCode).toBeNull();
    figure(
      "fuzz-messages-pings",
      "PINGs while they are sent",
      `slowest of ${pings.count}: ${pings.slowestMs.toFixed(0)} ms`,
    );
    expect(pings.slowestMs).toBeLessThan(limit);
  });
});
