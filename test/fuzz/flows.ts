/** Random flows of gears. */
import fc from "fast-check";

/** A step: its name and its arguments as Python. */
export type Step = readonly string[];

export interface Flow {
  /** A Python list. */
  readonly records: string;
  readonly steps: readonly Step[];
  readonly toText: boolean;
  readonly collect: boolean;
  readonly mode: "async" | "async_local";
}

const small = fc.integer({ min: -3, max: 7 });
const bad = (n: number): string => `lambda r: r if r != ${n} else 1 // 0`;
/** In some flows a callback is a coroutine. */
const maybeAsync = (callback: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(callback, fc.nat({ max: 5 })).map(([text, dice]) => (dice === 0 ? `asynchronous(${text})` : text));
const oneOf = (...texts: string[]): fc.Arbitrary<string> => maybeAsync(fc.constantFrom(...texts));
const step = (name: string, ...args: fc.Arbitrary<string>[]): fc.Arbitrary<Step[]> =>
  fc.tuple(...args).map((texts): Step[] => [[name, ...texts]]);

/** All take integers and give integers, so that any may follow any. */
const ofIntegers = fc.oneof(
  step("map", maybeAsync(small.map((n) => `lambda r: r * 3 + ${n}`))),
  step("map", maybeAsync(small.map(bad))),
  step("filter", maybeAsync(fc.integer({ min: 2, max: 5 }).map((n) => `lambda r: r % ${n} != 0`))),
  step("filter", maybeAsync(small.map(bad))),
  step("foreach", maybeAsync(small.map(bad))),
  step("flatmap", oneOf("lambda r: [r, r + 1, r + 2]", "lambda r: []", "lambda r: r", "lambda r: [r] * (abs(r) % 3)")),
  step("limit", fc.integer({ min: -1, max: 6 }).map(String), fc.integer({ min: 0, max: 3 }).map(String)),
  step("accumulate", oneOf("lambda a, r: (a or 0) * 2 + r", "lambda a, r: r if r != 3 else 1 // 0")),
  step(
    "aggregate",
    small.map(String),
    fc.constant("lambda a, r: a + r"),
    fc.constantFrom("lambda a, r: a + r", "lambda a, r: a - r"),
  ),
  step("count"),
  step("collect"),
  step("repartition", small.map(bad)),
  step("sort", fc.constantFrom("True", "False")),
  fc.constant<Step[]>([["avg"], ["map", "lambda r: int(r * 10)"]]),
  // their order is nobody's business: what follows sorts
  fc.constant<Step[]>([["distinct"], ["sort"]]),
  fc.constantFrom("lambda r: r % 3", "lambda r: r % 3 - 9 // (r - 4)").map((by): Step[] => [
    ["countby", by],
    ["map", "lambda r: r['value'] * 10 + int(r['key'])"],
    ["sort", "True"],
  ]),
  fc
    .tuple(
      fc.constantFrom("groupby", "localgroupby"),
      oneOf("lambda k, a, r: (a or 0) + r", "lambda k, a, r: r if r != 4 else 1 // 0"),
    )
    .map(([name, reducer]): Step[] => [
      [name, "lambda r: str(r % 3)", reducer],
      ["map", "lambda r: r['value']"],
      ["sort", "True"],
    ]),
  fc
    .constantFrom("lambda k, rs: len(rs) * 7 + rs[0]", "lambda k, rs: sum(12 // r for r in rs)")
    .map((reducer): Step[] => [
      ["batchgroupby", "lambda r: r % 2", reducer],
      ["map", "lambda r: r['value']"],
    ]),
  step("foreach", fc.constant("lambda r: execute('RPUSH', 'log', repr(r))")),
);

const text = fc.constantFrom("''", "'a'", "'é'", "'0'", "'12'", "'-x'", "'+x'", "'a\\r\\nb'", "'\\x00'", "'\\ud800'");
const atom = fc.oneof(
  { weight: 3, arbitrary: small.map(String) },
  text,
  fc.constantFrom("None", "True", "False", "0.0", "1.5", "-0.0", "float('inf')", "1e-9", "10 ** 30"),
  fc.constantFrom("b''", "b'x'", "bytearray(b'x')", "2 ** 63", "()", "(1, 'a')", "set()", "range(3)"),
);
const value = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { weight: 5, arbitrary: atom },
    fc.array(tie("value"), { maxLength: 3 }).map((items) => `[${items.join(", ")}]`),
    fc
      .array(fc.tuple(text, tie("value")), { maxLength: 2 })
      .map((fields) => `{${fields.map(([key, item]) => `${key}: ${item}`).join(", ")}}`),
  ),
})).value;

const SORTED: Step[] = [
  ["accumulate", "lambda a, r: sorted([*(a or []), r], key=repr)"],
  ["flatmap", "lambda r: r"],
];
/** Any of these takes anything, though it may fail at it. */
const ofAnything = fc.oneof(
  step(
    "map",
    oneOf(
      ...["lambda r: r", "lambda r: [r]", "lambda r: (r, r)", "lambda r: r + r", "lambda r: r[0]", "lambda r: len(r)"],
      ...[
        "lambda r: str(r)",
        "lambda r: repr(r)",
        "lambda r: {'a': r}",
        "lambda r: None",
        "lambda r: r.encode()",
        "lambda: 1",
      ],
      ...[
        "lambda r: float(r)",
        "lambda r: [x for x in r]",
        "lambda r: bool(r)",
        "lambda r: [r, [r, []]]",
        "lambda a, b: 1",
      ],
    ),
  ),
  step(
    "filter",
    oneOf(
      "lambda r: r",
      "lambda r: not r",
      "lambda r: [r]",
      "lambda r: r == r",
      "lambda r: r < 2",
      "lambda r: r in (0, '')",
    ),
  ),
  step("foreach", oneOf("lambda r: None", "lambda r: r[0]", "lambda r: [].pop()")),
  // coroutines of several records that are the same object run before the first is handed on
  step("foreach", fc.constantFrom("lambda r: r.append(1)", "lambda r: r.update(a=1)")),
  step(
    "flatmap",
    oneOf(
      ...[
        "lambda r: r",
        "lambda r: [r, r]",
        "lambda r: [[r], r, []]",
        "lambda r: (r, r)",
        "lambda r: []",
        "lambda r: None",
      ],
      ...[
        "lambda r: list(r)",
        "lambda r: [x for x in r]",
        "lambda r: {r}",
        "lambda r: [None, False, 0]",
        "lambda r: [r] * 4",
      ],
    ),
  ),
  step(
    "accumulate",
    oneOf(
      "lambda a, r: r",
      "lambda a, r: a",
      "lambda a, r: [a, r]",
      "lambda a, r: (a or r) + r",
      "lambda a, r: (a or 0) + 1",
      "lambda a, r: a + r",
    ),
  ),
  step(
    "aggregate",
    fc.constantFrom("0", "''", "[]", "{}", "()", "None", "[[]]", "5"),
    fc.constantFrom(
      "lambda a, r: a + r",
      "lambda a, r: a + [r]",
      "lambda a, r: r",
      "lambda a, r: a.append(r)",
      "lambda a, r: a.append(r) or a",
      "lambda a, r: a[0].append(r) or a",
    ),
    fc.constantFrom("lambda a, r: a + r", "lambda a, r: r", "lambda a, r: a", "lambda a, r: (a, r)", "lambda a, r: 0"),
  ),
  fc
    .tuple(
      fc.constantFrom(
        "lambda r: r",
        "lambda r: str(r)",
        "lambda r: type(r).__name__",
        "lambda r: r[0]",
        "lambda r: None",
        "asynchronous(lambda r: r)",
      ),
      fc.constantFrom("0", "''", "[]", "()", "1"),
      fc.constantFrom(
        "lambda k, a, r: a + r",
        "lambda k, a, r: a + [r]",
        "lambda k, a, r: r",
        "lambda k, a, r: a.append(r)",
        "lambda k, a, r: k",
      ),
      fc.constantFrom("lambda k, a, r: a + r", "lambda k, a, r: r", "lambda k, a, r: 0", "lambda k, a, r: (k, a, r)"),
    )
    .map((args): Step[] => [["aggregateby", ...args], ...SORTED]),
  fc
    .tuple(
      fc.constantFrom("groupby", "localgroupby"),
      fc.constantFrom(
        "lambda r: r",
        "lambda r: str(r)",
        "lambda r: bool(r)",
        "lambda r: r['a']",
        "lambda: 1",
        "asynchronous(lambda r: r)",
      ),
      oneOf(
        "lambda k, a, r: r",
        "lambda k, a, r: (a or 0) + 1",
        "lambda k, a, r: [a, r]",
        "lambda k, a, r: a + r",
        "lambda k, a, r: (k, a)",
        "lambda k, r: r",
        "lambda k, a, r: None",
      ),
    )
    .map((args): Step[] => [args, ...SORTED]),
  step(
    "batchgroupby",
    fc.constantFrom(
      "lambda r: r",
      "lambda r: str(r)",
      "lambda r: bool(r)",
      "lambda r: r[0]",
      "asynchronous(lambda r: r)",
    ),
    fc.constantFrom(
      "lambda k, rs: rs",
      "lambda k, rs: len(rs)",
      "lambda k, rs: rs[1]",
      "lambda k, rs: sum(rs)",
      "lambda k, rs: k",
      "lambda k, a, rs: 1",
    ),
  ),
  fc.constantFrom<Step[][]>(
    [["countby"], ...SORTED],
    [["countby", "lambda r: r[0]"], ...SORTED],
    [["distinct"], ...SORTED],
  ),
  fc.constantFrom<Step[][]>(
    [["avg"]],
    [["avg", "lambda r: len(r)"]],
    [["avg", "asynchronous(lambda r: r)"]],
    [["sort"]],
    [["sort", "False"]],
  ),
  fc.constantFrom<Step[][]>(
    [["count"]],
    [["collect"]],
    [["repartition", "lambda r: r"]],
    [["repartition", "lambda r: r[0]"]],
  ),
  step("limit", fc.constantFrom("0", "1", "3", "9", "-2", "True"), fc.constantFrom("0", "1", "2", "False")),
  step("foreach", fc.constant("lambda r: execute('RPUSH', 'log', repr(r))")),
);

const whole = {
  toText: fc.boolean(),
  collect: fc.boolean(),
  mode: fc.constantFrom("async" as const, "async_local" as const),
};
const list = (items: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.array(items, { maxLength: 12 }).map((texts) => `[${texts.join(", ")}]`);
const some = (steps: fc.Arbitrary<Step[]>): fc.Arbitrary<Step[]> =>
  fc.array(steps, { maxLength: 6 }).map((parts) => parts.flat());

export const flow: fc.Arbitrary<Flow> = fc.oneof(
  fc.record({ records: list(small.map(String)), steps: some(ofIntegers), ...whole }),
  fc.record({ records: list(value), steps: some(ofAnything), ...whole }),
);

/** The flow as a script. */
export function script({ records, steps, toText, collect, mode }: Flow): string {
  const calls = steps.map(
    ([name, ...args]) => `.${name}(${name === "sort" && args[0] ? `reverse=${args[0]}` : args.join(", ")})`,
  );
  const options = `convertToStr=${toText ? "True" : "False"}, collect=${collect ? "True" : "False"}, mode='${mode}'`;
  return `def asynchronous(function):
    async def coroutine(*args):
        return function(*args)
    return coroutine
def source():
    yield from ${records}
GB('PythonReader')${calls.join("")}.run(source, ${options})`;
}
