import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { DISK, type FileSystem } from "../../src/store/disk.ts";
import { FileStore, type FileStoreOptions, REGISTRATIONS_FILE } from "../../src/store/file.ts";
import { NullStore, type StoredSession } from "../../src/store/store.ts";
import { spec } from "../support/spec.ts";
import { Lines, newDirectory } from "./support.ts";

const VERSIONS = { regears: "1.2.3", python: "3.14" };

const SESSIONS: readonly StoredSession[] = [
  {
    id: "one",
    description: "a session with \u{1f40d} and \0",
    requirements: ["numpy==2.0", "a b"],
    registrations: [
      {
        number: 3,
        spec: spec({ description: "d", prefix: Buffer.from([255, 0, 42]), eventTypes: ["set"], keyTypes: [] }),
      },
      {
        number: 7,
        spec: spec({ reader: "StreamReader", batch: 5, duration: 10, onFailedPolicy: "retry", retryInterval: 3 }),
      },
    ],
  },
  {
    id: "two",
    description: undefined,
    requirements: [],
    registrations: [
      {
        number: 4,
        spec: spec({
          reader: "CommandReader",
          mode: "sync",
          hook: "hset",
          keyPrefix: Buffer.from("k*"),
          inOrder: true,
        }),
      },
    ],
  },
];

const named = (id: string): StoredSession[] => [{ id, description: undefined, requirements: [], registrations: [] }];

function open(directory: string, options: Partial<FileStoreOptions> = {}): { store: FileStore; log: Lines } {
  const log = new Lines();
  return { store: new FileStore({ directory, versions: VERSIONS, log, ...options }), log };
}

async function saved(directory: string, ...generations: (readonly StoredSession[])[]): Promise<string> {
  const { store } = open(directory);
  for (const sessions of generations) {
    store.saveRegistrations(sessions);
    expect(await store.flush()).toBe(true);
  }
  return join(directory, REGISTRATIONS_FILE);
}

const loaded = (directory: string): Promise<StoredSession[]> => open(directory).store.loadRegistrations();

describe("the file of registrations", () => {
  it("brings back every field", async () => {
    const directory = await newDirectory();
    await saved(directory, SESSIONS);
    expect(await loaded(directory)).toEqual(SESSIONS);
  });

  it("is not there at first, and the directory is made", async () => {
    const directory = join(await newDirectory(), "a/b");
    expect(await loaded(directory)).toEqual([]);
    await saved(directory, SESSIONS);
    expect(await loaded(directory)).toEqual(SESSIONS);
  });

  it("is written soon, once for changes that come together", async () => {
    const directory = await newDirectory();
    let writes = 0;
    const rename: FileSystem["rename"] = (from, to) => {
      writes++;
      return DISK.rename(from, to);
    };
    const disk = { ...DISK, rename };
    const { store } = open(directory, { disk });
    for (let i = 0; i < 100; i++) store.saveRegistrations(named(`s${i}`));
    await vi.waitFor(() => readFile(join(directory, REGISTRATIONS_FILE)), { timeout: 20_000, interval: 5 });
    expect(await loaded(directory)).toEqual(named("s99"));
    expect(writes).toBe(1);
  });

  it("has the last of what was saved while it was being written", async () => {
    const directory = await newDirectory();
    const { store } = open(directory);
    const flushes: Promise<boolean>[] = [];
    for (let i = 0; i < 50; i++) {
      store.saveRegistrations(named(`s${i}`));
      flushes.push(store.flush());
    }
    expect(await Promise.all(flushes)).toEqual(flushes.map(() => true));
    expect(await loaded(directory)).toEqual(named("s49"));
  });

  it("is written when the store is closed", async () => {
    const directory = await newDirectory();
    const { store } = open(directory);
    store.saveRegistrations(SESSIONS);
    await store.close();
    expect(await loaded(directory)).toEqual(SESSIONS);
  });

  it("gives way to the one before when a byte is wrong or its end is missing, wherever", async () => {
    const directory = await newDirectory();
    const path = await saved(directory, named("before"), named("x"));
    const [good, before] = [await readFile(path), await readFile(`${path}.bak`)];
    for (let at = 0; at < good.length; at++) {
      const damaged = Buffer.from(good);
      damaged[at] = (damaged[at] ?? 0) ^ 0x20;
      for (const bytes of [damaged, good.subarray(0, at)]) {
        await writeFile(path, bytes);
        const { store, log } = open(directory);
        expect(await store.loadRegistrations()).toEqual(named("before"));
        expect(log.matching(/^error .*can not be used/)).toHaveLength(1);
        await writeFile(`${path}.bak`, before);
      }
    }
    const aside = (await readdir(directory)).filter((name) => name.includes(".corrupt-"));
    expect(aside.length).toBeGreaterThan(1);
  });

  it("is moved aside when there is none before, and never written over", async () => {
    const directory = await newDirectory();
    const path = join(directory, REGISTRATIONS_FILE);
    await writeFile(path, "precious");
    const { store, log } = open(directory, { now: () => new Date("2030-01-02T03:04:05.678Z") });
    expect(await store.loadRegistrations()).toEqual([]);
    const aside = `${path}.corrupt-20300102T030405.678Z`;
    expect(await readFile(aside, "utf8")).toBe("precious");
    expect(log.lines).toEqual([
      `error the registrations in ${path} can not be used: it is no file of registrations. The file is now ${aside}`,
    ]);
    store.saveRegistrations(SESSIONS);
    await store.flush();
    expect(await readFile(aside, "utf8")).toBe("precious");
  });

  it("is not used by another Python, and kept", async () => {
    const directory = await newDirectory();
    await saved(directory, SESSIONS);
    const { store, log } = open(directory, { versions: { ...VERSIONS, python: "3.15" } });
    expect(await store.loadRegistrations()).toEqual([]);
    expect(log.matching(/holds code for Python 3\.14, and this is 3\.15/)).toHaveLength(1);
    expect((await readdir(directory)).filter((name) => name.includes(".python-3.14-"))).toHaveLength(1);
  });

  it("is old or new, wherever the writer dies", async () => {
    for (let survived = 0; ; survived++) {
      const directory = await newDirectory();
      await saved(directory, named("oldest"), named("old"));
      const { store } = open(directory, { disk: dyingAfter(survived) });
      store.saveRegistrations(named("new"));
      const done = await store.flush();
      expect(["old", "new"]).toContain((await loaded(directory))[0]?.id);
      if (done) break;
      expect(survived).toBeLessThan(50);
    }
  });

  it("leaves nothing half-done behind", async () => {
    const directory = await newDirectory();
    const path = await saved(directory, SESSIONS);
    await writeFile(`${path}.tmp-4711`, "half");
    await writeFile(`${path}.bak.tmp-4711`, "half");
    await loaded(directory);
    expect(await readdir(directory)).toEqual([REGISTRATIONS_FILE]);
  });
});

describe("a disk that refuses", () => {
  it("is told of once, tried again, and the change is kept in the end", async () => {
    const directory = await newDirectory();
    let full = true;
    const open_: FileSystem["open"] = (path, ...rest) =>
      full
        ? Promise.reject(Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" }))
        : DISK.open(path, ...rest);
    const { store, log } = open(directory, { disk: { ...DISK, open: open_ }, retryMs: 20 });
    store.saveRegistrations(SESSIONS);
    expect(await store.flush()).toBe(false);
    expect(await store.flush()).toBe(false);
    expect(log.lines).toEqual([
      "error registrations can not be kept, and a restart would lose them: ENOSPC: no space left on device",
    ]);
    full = false;
    await vi.waitFor(() => expect(log.lines.at(-1)).toBe("info registrations are kept again"), { timeout: 20_000 });
    expect(await loaded(directory)).toEqual(SESSIONS);
  });

  it("does not keep the server from starting when nothing is there", async () => {
    const directory = await newDirectory();
    await writeFile(join(directory, "file"), "");
    const { store, log } = open(join(directory, "file/dir"));
    expect(await store.loadRegistrations()).toEqual([]);
    store.saveRegistrations(SESSIONS);
    expect(await store.flush()).toBe(false);
    expect(log.matching(/^error/).length).toBeGreaterThan(0);
    await store.close();
  });

  it("keeps the server from starting when what is there can not be read", async () => {
    const directory = await newDirectory();
    await saved(directory, SESSIONS);
    const readFile_ = () => Promise.reject(Object.assign(new Error("EIO: i/o error"), { code: "EIO" }));
    const { store } = open(directory, { disk: { ...DISK, readFile: readFile_ } as FileSystem });
    await expect(store.loadRegistrations()).rejects.toThrow("can not be read: EIO");
  });

  it("without hard links keeps the generation before all the same", async () => {
    const directory = await newDirectory();
    const link = () => Promise.reject(Object.assign(new Error("EPERM"), { code: "EPERM" }));
    const { store } = open(directory, { disk: { ...DISK, link } });
    for (const id of ["a", "b"]) {
      store.saveRegistrations(named(id));
      await store.flush();
    }
    await writeFile(join(directory, REGISTRATIONS_FILE), "");
    expect(await loaded(directory)).toEqual(named("a"));
  });
});

describe("without a directory", () => {
  it("nothing is kept, and that is said once", async () => {
    const log = new Lines();
    const store = new NullStore(log);
    expect(await store.loadRegistrations()).toEqual([]);
    expect(log.lines).toEqual([]);
    for (let i = 0; i < 3; i++) store.saveRegistrations();
    expect(await store.flush()).toBe(false);
    expect(log.lines).toHaveLength(1);
  });
});

/** A disk on which so many operations succeed, and nothing more happens afterwards, as if the process had been killed. */
function dyingAfter(operations: number): FileSystem {
  let left = operations;
  const alive = <A extends unknown[], R>(act: (...args: A) => Promise<R>) => {
    return (...args: A): Promise<R> => (left-- > 0 ? act(...args) : Promise.reject(new Error("dead")));
  };
  const mortal = Object.fromEntries(
    Object.entries(DISK)
      .filter(([, member]) => typeof member === "function")
      .map(([name, act]) => [name, alive(act as (...args: unknown[]) => Promise<unknown>)]),
  );
  const openMortal = alive(async (...args: Parameters<FileSystem["open"]>) => {
    const file = await DISK.open(...args);
    // Closing is what the system does for the dead.
    return new Proxy(file, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        const bound = member.bind(target) as (...rest: unknown[]) => Promise<unknown>;
        return name === "close" ? bound : alive(bound);
      },
    });
  });
  return { ...mortal, open: openMortal } as unknown as FileSystem;
}
