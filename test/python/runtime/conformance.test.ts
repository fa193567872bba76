/** Recorded conversations with RedisGears, as far as they need no more than Python and a dict for an engine. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

const AREAS = [
  "pyexecute-basics",
  "builder-operations",
  "batch-readers",
  "runtime-api",
  "async-await",
  "register-command",
];

/** What the fake main thread can not do; these run against the whole server. */
const NEEDS_A_SERVER = new Set([
  "keys deleted and expired before the run are not read",
  "execute: doubles arrive as text",
  "execute is visible to other clients at once",
  "atomic keeps other clients out",
  "without atomic other clients come in between",
  "StreamReader, sync: messages stay in order although the first is slow",
  "RG.TRIGGER without name, with unknown name",
  "a trigger cannot call a trigger that is not sync",
  "inorder=True: async_local executions run one after the other",
]);

const REPLAY = `
from regears_test import conformance
conformance.replay(inputs["case"])
`;
const PLAYABLE = `
from regears_test import conformance
[conformance.playable(case) for case in inputs["cases"]]
`;

interface Case {
  name: string;
}

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

const casesOf = (area: string): Case[] => {
  const file = new URL(`../../conformance/cases/${area}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")).cases;
};

describe.each(AREAS)("%s", (area) => {
  test("replays as recorded", { timeout: 60_000 }, () => {
    const cases = casesOf(area).filter((entry) => !NEEDS_A_SERVER.has(entry.name));
    const playable = python.json(PLAYABLE, { cases }) as boolean[];
    const played = cases.filter((_, i) => playable[i]);
    // most of them, or the filter is broken
    expect(played.length).toBeGreaterThan(cases.length / 2);
    const different = played
      .map((entry) => ({ name: entry.name, different: python.json(REPLAY, { case: entry }) }))
      .filter((entry) => entry.different !== null);
    expect(different).toEqual([]);
  });
});
