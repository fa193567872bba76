/** Registrations in the engine's data, on a disk that fails: what was answered is there after a restart, what was refused is not. */
import { describe, expect, it } from "vitest";
import { EngineStore } from "../../src/store/engine-store.ts";
import { FileStore } from "../../src/store/file-store.ts";
import type { StoredItem } from "../../src/store/store.ts";
import { failingFrom } from "../support/file-calls.ts";
import { newFolder } from "../support/folders.ts";
import { spec } from "../support/spec.ts";
import { startData, type DataServer } from "./support.ts";

const VERSIONS = { regears: "1", python: "3.14" };
const SESSION = { number: 1, id: "s", description: undefined, user: "default", requirements: [] };
const FAULTS_APART = process.env.REGEARS_DISK_FAULTS ? 1 : 17;
const CHANGES = 12;

const item = (number: number): StoredItem => ({ kind: "registration", number, session: SESSION, spec: spec() });

async function open(directory: string, data: DataServer, python = VERSIONS.python) {
  const { engine, connections, log } = data;
  const versions = { ...VERSIONS, python };
  const ready = (): Promise<void> => Promise.resolve();
  const file = new FileStore({ directory, versions, log });
  const store = new EngineStore({ engine, open: () => connections.open(), file, ready, versions, repair: false, log });
  const { items } = await store.load();
  return { store, numbers: items.map(({ number }) => number).sort((a, b) => a - b) };
}

describe("registrations in the log of changes", () => {
  it("are there or not as was answered, whichever operation of the disk fails", { timeout: 600_000 }, async () => {
    let refused = 0;
    for (let which = 1; which <= 200; which += FAULTS_APART) {
      const directory = newFolder();
      const { calls } = failingFrom(which, "ENOSPC", 2);
      const data = await startData(directory, { appendonly: true, calls }).catch(() => undefined);
      // it could not even begin
      if (!data) continue;
      const { store } = await open(directory, data);
      const kept = new Set<number>();
      for (let number = 1; number <= CHANGES; number++) {
        const added = [item(number)];
        const removed = number % 3 === 0 ? [item(number - 1)].filter((one) => kept.has(one.number)) : [];
        try {
          await store.enter({ added, removed });
          await store.settle({ added, removed });
          kept.add(number);
          for (const one of removed) kept.delete(one.number);
        } catch {
          refused++;
          // as the keeper does, until the disk works again
          await expect.poll(async () => store.enter({ added: removed, removed: added })).toBeUndefined();
        }
      }
      // the disk may fail here, too
      const settled = (): Promise<boolean> =>
        store.settle({ added: [], removed: [] }).then(
          () => true,
          () => false,
        );
      await expect.poll(settled).toBe(true);
      await data.stop();
      const again = await startData(directory, { appendonly: true });
      expect((await open(directory, again)).numbers, `operation ${which}`).toEqual([...kept].sort((a, b) => a - b));
      await again.stop();
    }
    expect(refused).toBeGreaterThan(0);
  });

  it("can end when there is no memory for anything new", async () => {
    const directory = newFolder();
    const data = await startData(directory, { appendonly: true });
    const { store } = await open(directory, data);
    await store.enter({ added: [item(1), item(2)], removed: [] });
    await data.client.call("CONFIG", "SET", "maxmemory", "1");
    expect(() => store.enter({ added: [item(3)], removed: [] })).toThrow("OOM command not allowed");
    await store.enter({ added: [], removed: [item(1)] });
    await store.settle({ added: [], removed: [item(1)] });
    await data.stop();
    expect((await open(directory, await startData(directory, { appendonly: true }))).numbers).toEqual([2]);
  });

  it("of another Python are refused with the reason", async () => {
    const directory = newFolder();
    const data = await startData(directory, { appendonly: true });
    const { store } = await open(directory, data);
    await store.enter({ added: [item(1)], removed: [] });
    await data.stop();
    const again = await startData(directory, { appendonly: true });
    await expect(open(directory, again, "3.15")).rejects.toThrow(
      "the registrations in the data can not be used: they hold code for Python 3.14, and this is 3.15. Put a good copy",
    );
  });

  it("that somebody has put there otherwise are refused", async () => {
    const directory = newFolder();
    const data = await startData(directory, { appendonly: true });
    const { store } = await open(directory, data);
    await store.enter({ added: [item(1)], removed: [] });
    const code = "#!lua name=__regears_registration_7\nredis.register_function('x', function() end)\n--{\"add\":7}";
    await data.client.call("FUNCTION", "LOAD", code);
    await expect(open(directory, data)).rejects.toThrow("it is no registration and no time event");
  });
});
