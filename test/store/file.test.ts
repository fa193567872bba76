import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { DISK, type FileSystem } from "../../src/store/disk.ts";
import { FileStore, type FileStoreOptions, REGISTRATIONS_FILE } from "../../src/store/file-store.ts";
import { NullStore, type StoredItem, type StoredRegistration, type StoredSession } from "../../src/store/store.ts";
import { spec } from "../support/spec.ts";
import { dyingAfter, failingOnce, noSpace } from "./faulty-disk.ts";
import { Lines } from "./support.ts";
import { newFolder } from "../support/folders.ts";

const VERSIONS = { regears: "1.2.3", python: "3.14" };

const ONE: StoredSession = {
  ...{ number: 1, id: "one", description: "a session with \u{1f40d} and \0", user: "ann" },
  requirements: ["numpy==2.0", "a b"],
};
const TWO: StoredSession = { number: 2, id: "two", description: undefined, user: "default", requirements: [] };

const ITEMS: readonly StoredItem[] = [
  {
    ...{ kind: "registration", number: 3, session: ONE },
    spec: spec({ description: "d", prefix: Buffer.from([255, 0, 42]), eventTypes: ["set"], keyTypes: [] }),
  },
  {
    ...{ kind: "registration", number: 7, session: ONE },
    spec: spec({ reader: "StreamReader", batch: 5, duration: 10, onFailedPolicy: "retry", retryInterval: 3 }),
  },
  {
    ...{ kind: "registration", number: 4, session: TWO },
    spec: spec({ reader: "CommandReader", mode: "sync", hook: "hset", keyPrefix: Buffer.from("k*"), inOrder: true }),
  },
  {
    ...{ kind: "timer", number: 4, session: TWO, madeAt: 6 },
    spec: { number: 4, seconds: 60, key: "k", blob: Buffer.from("\n") },
  },
];

const registration = (number: number, description = `r${number}`): StoredRegistration => ({
  ...{ kind: "registration", number, session: TWO },
  spec: spec({ description }),
});

const add = (...added: StoredItem[]) => ({ added, removed: [] });
const remove = (...numbers: number[]) => ({
  added: [],
  removed: numbers.map((number) => ({ kind: "registration", number }) as const),
});

const opened: FileStore[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

function open(directory: string, options: Partial<FileStoreOptions> = {}): { store: FileStore; log: Lines } {
  const log = new Lines();
  const store = new FileStore({ directory, versions: VERSIONS, log, ...options });
  opened.push(store);
  return { store, log };
}

/** A store that was loaded. */
async function started(directory: string, options: Partial<FileStoreOptions> = {}): Promise<FileStore> {
  const { store } = open(directory, options);
  await store.load();
  return store;
}

const loaded = (directory: string): Promise<StoredItem[]> => open(directory).store.load();
const numbers = async (directory: string): Promise<number[]> => (await loaded(directory)).map(({ number }) => number);
const pathIn = (directory: string): string => join(directory, REGISTRATIONS_FILE);

describe("the file of registrations", () => {
  it("brings back every field", async () => {
    const directory = newFolder();
    const store = await started(directory);
    await store.write(add(...ITEMS));
    expect(await loaded(directory)).toEqual(ITEMS);
    await store.close();
    expect(await loaded(directory)).toEqual(ITEMS);
  });

  it.each<[string, unknown]>([
    ["a long integer", 1n << 2000n],
    ["infinity", Number.POSITIVE_INFINITY],
    ["minus infinity", Number.NEGATIVE_INFINITY],
    ["no number", Number.NaN],
    ["minus zero", -0],
    ["half a surrogate pair", "\ud800 \udfff"],
    ["a line end", "\n\r\u2028"],
    ["null", null],
    ["texts", ["", "\0", "\ud800"]],
    ["bytes", Buffer.from([0, 10, 13, 255])],
    ["an object like those that stand for values", { base64: 1, integer: "2" }],
  ])("loses nothing of %s", async (_what, value) => {
    const directory = newFolder();
    const item = { ...registration(1), spec: { ...spec(), duration: value as number } };
    await (await started(directory)).write(add(item, registration(2)));
    const [first, second] = await loaded(directory);
    expect((first as StoredRegistration).spec.duration).toEqual(value);
    expect(second).toEqual(registration(2));
  });

  it("is not there at first, and the directory is made", async () => {
    const directory = join(newFolder(), "a/b");
    const store = await started(directory);
    expect(await readdir(directory)).toEqual([]);
    await store.write(add(...ITEMS));
    expect(await loaded(directory)).toEqual(ITEMS);
  });

  it("has what was removed no more, nor what was removed and added in one change twice", async () => {
    const directory = newFolder();
    const store = await started(directory);
    await store.write(add(registration(1), registration(2), registration(3)));
    await store.write(remove(2));
    await store.write({ ...remove(1, 3), ...{ added: [registration(4)] } });
    expect(await numbers(directory)).toEqual([4]);
    const next = await started(directory);
    await next.write(add(registration(5)));
    expect(await numbers(directory)).toEqual([4, 5]);
  });

  it("is appended to, and written anew before it is much longer than what it says", async () => {
    const directory = newFolder();
    const store = await started(directory);
    const many = Array.from({ length: 1000 }, (_, number) => registration(number, "d".repeat(500)));
    await store.write(add(...many));
    const base = (await stat(pathIn(directory))).size;
    await store.write(add(registration(2000)));
    const grown = (await stat(pathIn(directory))).size - base;
    expect(grown).toBeLessThan(2000);
    let largest = 0;
    for (let i = 0; i < 2500; i++) {
      await store.write(i % 2 === 0 ? remove(2000) : add(registration(2000, "d".repeat(500))));
      if (i % 50 === 0) largest = Math.max(largest, (await stat(pathIn(directory))).size);
    }
    expect(largest).toBeGreaterThan(1.5 * base);
    expect(largest).toBeLessThan(2.5 * base);
    expect(await loaded(directory)).toHaveLength(1001);
  });

  it("is of a whole change or of none of it, wherever it is cut", async () => {
    const directory = newFolder();
    const store = await started(directory);
    await store.write(add(registration(1), registration(2)));
    const before = (await readFile(pathIn(directory))).length;
    await store.write({ ...remove(1, 2), added: [registration(3), registration(4)] });
    const bytes = await readFile(pathIn(directory));
    for (let length = before; length < bytes.length; length += 7) {
      await writeFile(pathIn(directory), bytes.subarray(0, length));
      const { store: next, log } = open(directory);
      expect((await next.load()).map(({ number }) => number)).toEqual([1, 2]);
      expect(log.matching(/^warn .*bytes are dropped/)).toHaveLength(length === before ? 0 : 1);
      // What was cut off does not come back behind what is written next.
      await next.write(add(registration(5)));
      expect(await numbers(directory)).toEqual([1, 2, 5]);
    }
  });

  it("is written in its place when it was moved away, or changed by others", async () => {
    const directory = newFolder();
    const store = await started(directory);
    await store.write(add(registration(1)));
    await rename(pathIn(directory), `${pathIn(directory)}.away`);
    await store.write(add(registration(2)));
    expect(await numbers(directory)).toEqual([1, 2]);
    await writeFile(pathIn(directory), "other");
    await store.write(add(registration(3)));
    expect(await numbers(directory)).toEqual([1, 2, 3]);
  });

  it("leaves nothing half-done behind", async () => {
    const directory = newFolder();
    const store = await started(directory);
    await store.write(add(...ITEMS));
    await store.close();
    await writeFile(`${pathIn(directory)}.tmp-4711`, "half");
    await loaded(directory);
    expect(await readdir(directory)).toEqual([REGISTRATIONS_FILE]);
  });
});

describe("a damaged file of registrations", () => {
  /** A file of one first change and three more. */
  async function written(directory: string): Promise<Buffer> {
    const store = await started(directory);
    await store.write(add(registration(1), registration(2)));
    await store.write(add(registration(3)));
    await store.write(remove(1));
    await store.write(add(registration(4)));
    return readFile(pathIn(directory));
  }

  it("is refused, wherever a byte is wrong, and costs one record when it is repaired", {
    timeout: 120_000,
  }, async () => {
    const directory = newFolder();
    const good = await written(directory);
    const path = pathIn(directory);
    for (let at = 0; at < good.length; at += 7) {
      const damaged = Buffer.from(good);
      damaged[at] = (damaged[at] ?? 0) ^ 0x20;
      await writeFile(path, damaged);
      await expect(loaded(directory)).rejects.toThrow(/^the registrations in .* are damaged: line \d.*--repair/);
      expect(await readFile(path)).toEqual(damaged);
      const { store, log } = open(directory, { repair: true });
      const left = (await store.load()).map(({ number }) => number);
      // A line end that is wrong costs two; 1 comes back when the record of its end is lost.
      const lost = [2, 3, 4].filter((number) => !left.includes(number)).length;
      expect(lost).toBeLessThanOrEqual(damaged[at] === 0x2a ? 2 : 1);
      expect(log.matching(/^error .* are damaged: .* kept as /)).toHaveLength(1);
      expect(await numbers(directory)).toEqual(left);
      await store.write(add(registration(9)));
      expect(await numbers(directory)).toEqual([...left, 9]);
    }
    const aside = (await readdir(directory)).find((name) => name.includes(".damaged-"));
    expect(aside).toBeDefined();
  });

  it("is refused when lines are missing, twice there or in another order, or its first change is cut", async () => {
    const directory = newFolder();
    const lines = (await written(directory)).toString().split(/(?<=\n)/);
    const [first = "", second = "", third = "", fourth = "", fifth = "", sixth = ""] = lines;
    const all = [first, second, third, fourth, fifth, sixth];
    const cases = [
      ...all.slice(0, -1).map((_, at) => all.toSpliced(at, 1)),
      ...all.map((line, at) => all.toSpliced(at, 0, line)),
      [first, second, third, fifth, fourth, sixth],
      [first, second],
      [first],
      [first.slice(0, 20)],
      [""],
    ];
    for (const damaged of cases) {
      await writeFile(pathIn(directory), damaged.join(""));
      await expect(loaded(directory)).rejects.toThrow("are damaged");
    }
  });

  it("is kept as it was, and written anew without what can not be read", async () => {
    const directory = newFolder();
    await writeFile(pathIn(directory), "precious");
    await expect(loaded(directory)).rejects.toThrow("are damaged: line 1: the file ends before it");
    const { store, log } = open(directory, { repair: true, now: () => new Date("2030-01-02T03:04:05.678Z") });
    expect(await store.load()).toEqual([]);
    const aside = `${pathIn(directory)}.damaged-20300102T030405.678Z`;
    expect(await readFile(aside, "utf8")).toBe("precious");
    expect(log.matching(/^error/)).toEqual([expect.stringContaining(`the file is kept as ${aside}`)]);
    expect(await loaded(directory)).toEqual([]);
  });

  it("costs no other record when one says what this version does not know", async () => {
    const directory = newFolder();
    const strange = { ...registration(1), kind: "idea" } as unknown as StoredItem;
    const reader = { ...registration(2), spec: { ...spec(), reader: "MindReader" } } as unknown as StoredItem;
    await (await started(directory)).write(add(strange, reader, registration(3)));
    await expect(loaded(directory)).rejects.toThrow("line 2: it is no registration and no time event, and 1 more");
    const { store } = open(directory, { repair: true });
    expect((await store.load()).map(({ number }) => number)).toEqual([3]);
  });

  it.each([
    ["an earlier version", "regears-registrations sha256:00\n{}\n", /earlier version of Regears wrote it/],
    ["a later version", undefined, /Regears 1\.2\.3 wrote it, in another format/],
  ])("of %s is refused, and set aside to go on", async (_which, bytes, text) => {
    const directory = newFolder();
    if (bytes !== undefined) {
      await writeFile(pathIn(directory), bytes);
    } else {
      const { encodeChange } = await import("../../src/store/log-format.ts");
      await writeFile(pathIn(directory), encodeChange([`{"registrations":3,"regears":"1.2.3"}`], 0));
    }
    await expect(loaded(directory)).rejects.toThrow(text);
    expect(await open(directory, { repair: true }).store.load()).toEqual([]);
    expect(await loaded(directory)).toEqual([]);
    expect((await readdir(directory)).some((name) => name.includes(".damaged-"))).toBe(true);
  });

  it("of another Python is refused, and kept", async () => {
    const directory = newFolder();
    await written(directory);
    const versions = { ...VERSIONS, python: "3.15" };
    await expect(open(directory, { versions }).store.load()).rejects.toThrow(
      "holds code for Python 3.14, and this is 3.15",
    );
    expect(await readdir(directory)).toEqual([REGISTRATIONS_FILE]);
  });

  it("that is a directory, or can not be read, is refused", async () => {
    const directory = newFolder();
    await mkdir(pathIn(directory));
    await expect(loaded(directory)).rejects.toThrow("can not be read: EISDIR");
    const readFile_ = () => Promise.reject(Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" }));
    const { store } = open(directory, { disk: { ...DISK, readFile: readFile_ } as FileSystem });
    await expect(store.load()).rejects.toThrow("can not be read: EACCES");
  });
});

describe("a disk that fails", () => {
  it("leaves a change or none of it, wherever the writer dies", async () => {
    const change = { ...remove(1), added: [registration(3), registration(4)] };
    for (const anew of [false, true]) {
      for (let survived = 0; ; survived++) {
        const directory = newFolder();
        await (await started(directory)).write(add(registration(1), registration(2)));
        // A change that was cut off makes the next write replace the file.
        if (anew) await writeFile(pathIn(directory), `${await readFile(pathIn(directory), "utf8")}cut`);
        const store = await started(directory, { disk: dyingAfter(survived + LOADING) });
        const done = await store.write(change).then(
          () => true,
          () => false,
        );
        expect(
          done
            ? [[2, 3, 4]]
            : [
                [1, 2],
                [2, 3, 4],
              ],
        ).toContainEqual(await numbers(directory));
        if (done) break;
        expect(survived).toBeLessThan(50);
      }
    }
  });

  it("at any single operation refuses a change wholly, and keeps the next one", async () => {
    for (let which = LOADING + 1; ; which++) {
      const directory = newFolder();
      await (await started(directory)).write(add(registration(1)));
      const { disk, count } = failingOnce(which);
      const store = await started(directory, { disk });
      const kept = [1];
      for (let number = 2; number < 6; number++) {
        const done = await store.write(add(registration(number))).then(
          () => true,
          () => false,
        );
        if (done) kept.push(number);
        expect(await numbers(directory)).toEqual(kept);
      }
      expect(kept.length).toBeGreaterThanOrEqual(4);
      if (count() < which) break;
      expect(which).toBeLessThan(100);
    }
  });

  it("that is full refuses changes until there is room", async () => {
    const directory = newFolder();
    let full = false;
    const openFull: FileSystem["open"] = async (...args) => {
      const file = await DISK.open(...args);
      const append = file.appendFile.bind(file);
      file.appendFile = (bytes) => (full ? append("half").then(() => Promise.reject(noSpace())) : append(bytes));
      return file;
    };
    const store = await started(directory, { disk: { ...DISK, open: openFull } });
    await store.write(add(registration(1)));
    full = true;
    for (let i = 0; i < 3; i++) await expect(store.write(add(registration(2)))).rejects.toThrow("ENOSPC");
    expect(await numbers(directory)).toEqual([1]);
    full = false;
    await store.write(add(registration(3)));
    expect(await numbers(directory)).toEqual([1, 3]);
  });

  it("does not keep the server from starting when nothing is there", async () => {
    const directory = newFolder();
    await writeFile(join(directory, "file"), "");
    const { store, log } = open(join(directory, "file/dir"));
    expect(await store.load()).toEqual([]);
    expect(log.matching(/^error/)).toHaveLength(1);
    await expect(store.write(add(...ITEMS))).rejects.toThrow("ENOTDIR");
    await store.close();
  });
});

describe("without a directory", () => {
  it("nothing is kept, and that is said once", async () => {
    const log = new Lines();
    const store = new NullStore(log);
    expect(await store.load()).toEqual([]);
    expect(log.lines).toEqual([]);
    for (let i = 0; i < 3; i++) await store.write();
    expect(log.lines).toHaveLength(1);
  });
});

/** Operations by which a good file is loaded: mkdir, readdir, readFile. */
const LOADING = 3;
