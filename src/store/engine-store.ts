/**
 * The store inside the engine's data: registrations and time events are in its dumps and in its log of changes, so that
 * they are restored as they were at the moment of the data. While there is no log, changes are in a file as well, as a dump is
 * made now and then only: what it says of the time after the dump is made again.
 */
import { randomBytes } from "node:crypto";
import type { EngineClient } from "../engine/engine-client.ts";
import { encodeCommands } from "../engine/encode.ts";
import type { DataEngine } from "../engine/engine-room.ts";
import { LastingClient } from "../engine/lasting-client.ts";
import { InternalError, ReplyError, textOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { FrameSplitter, isError, scalarText, splitAggregate } from "../resp/frames.ts";
import { REPAIR_HINT } from "./disk.ts";
import type { FileStore } from "./file-store.ts";
import { librariesOf, type Library, libraryCode, libraryName, OWN_PATTERNS } from "./own-libraries.ts";
import { additionOf, entryOf, HEAD, headRecordOf, nameOf } from "./record.ts";
import type { Head, Store, StoredChange, StoredItem, StoredState, StoredTimer, Versions } from "./store.ts";

interface EngineStoreOptions {
  readonly engine: Pick<DataEngine, "hasLog" | "syncLog">;
  /** Opens a connection that may do everything. */
  readonly open: () => EngineClient;
  /** Has what a dump may not have. */
  readonly file: Pick<FileStore, "load" | "head" | "write" | "replace" | "remove" | "setAside" | "close">;
  /** Called before each write; the write fails when it does. */
  readonly ready: () => Promise<void>;
  readonly versions: Versions;
  readonly repair: boolean;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
}

/** What is in the data. */
interface InData {
  readonly head: Head | undefined;
  readonly items: readonly StoredItem[];
}

/** The libraries' names end in a digit. */
const HEAD_NAME = `${HEAD} 0`;
type Command = readonly (string | Buffer)[];
const LOAD = ["FUNCTION", "LOAD", "REPLACE"] as const;
const NOTHING: InData = { head: undefined, items: [] };

export class EngineStore implements Store {
  readonly #options: EngineStoreOptions;
  readonly #client: LastingClient;
  #head: Head = { history: "", count: 0 };
  /** The names of the server's own libraries. */
  readonly #libraries = new Set<string>();
  /** The file has all that the data have. */
  #isFileCurrent = false;
  /** Ends when nothing is brought to the disk any more. */
  #bringing: Promise<void> = Promise.resolve();
  /** There may be a file of a time when there was no log. */
  #hasFile = true;

  constructor(options: EngineStoreOptions) {
    this.#options = options;
    this.#client = new LastingClient(options.open);
  }

  /** How many libraries the server has for itself. */
  get size(): number {
    return this.#libraries.size;
  }

  async load(): Promise<StoredState> {
    const { file } = this.#options;
    const inData = await this.#usable();
    const inFile: InData = { items: await file.load(), head: file.head };
    const state = await this.#choose(inData, inFile);
    await this.refresh().catch((error) => this.#options.log.error(`registrations can not be kept: ${textOf(error)}`));
    return state;
  }

  enter({ added, removed }: StoredChange): Maybe<void> {
    if (added.length + removed.length === 0) return;
    return this.#apply(
      removed.map((item) => nameOf(item)),
      added,
    );
  }

  settle(change: StoredChange): Promise<void> {
    const { file } = this.#options;
    const head = this.#head;
    return this.#bring(() => (this.#isFileCurrent ? file.write(change, head) : this.#writeFile()));
  }

  /** Sees to it that what was kept before is kept: to be called when a log was begun or ended. @throws what went wrong */
  async refresh(): Promise<void> {
    if (this.#head.history === "") return;
    await this.#bring(async () => (this.#isFileCurrent ? undefined : this.#writeFile()));
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#options.file.close();
  }

  /**
   * Carries a command out together with those that make all of the server's own libraries again.
   * @throws ReplyError with the engine's error
   */
  async withOwn(command: Command): Promise<void> {
    for (;;) {
      const { count } = this.#head;
      const { items } = await this.#read();
      // what has been read may have ended meanwhile
      if (count !== this.#head.count) continue;
      const [reply] = await this.transact([command, ...this.#loads(items)]);
      if (reply && isError(reply)) throw new ReplyError(scalarText(reply));
      return;
    }
  }

  /** Of two copies with the same history the later one counts; otherwise it is that of the data. */
  async #choose(inData: InData, inFile: InData): Promise<StoredState> {
    const { file, log } = this.#options;
    this.#head = inData.head ?? this.#head;
    const isOther =
      inData.head !== undefined && inFile.head !== undefined && inData.head.history !== inFile.head.history;
    if (isOther)
      log.warn(`the data have registrations of their own; those that were here are now in ${await file.setAside()}`);
    const isNewer = inData.head === undefined || (inFile.head?.count ?? 0) > inData.head.count;
    if (isOther || !isNewer) {
      this.#isFileCurrent = !isOther && inFile.head?.count === inData.head?.count;
      return { items: inData.items, newer: [], ended: [] };
    }
    if (inFile.head) this.#head = inFile.head;
    if (inFile.items.length + inData.items.length > 0) {
      await this.#apply(inData.items.map(nameOf), inFile.items);
      this.#isFileCurrent = false;
    }
    return {
      items: inFile.items,
      newer: without(inFile.items, inData.items),
      ended: without(inData.items, inFile.items),
    };
  }

  /** @throws InternalError when it can not be used, and is not to be repaired */
  async #usable(): Promise<InData> {
    const { repair, log } = this.#options;
    try {
      return await this.#read();
    } catch (error) {
      const text = `the registrations in the data can not be used: ${textOf(error)}`;
      if (!repair) throw new InternalError(`${text}. ${REPAIR_HINT}`);
      log.error(`${text}. They are removed from the data`);
      await this.transact([...this.#libraries].map((name) => ["FUNCTION", "DELETE", name]));
      this.#libraries.clear();
      return NOTHING;
    }
  }

  /** @throws Error when something of it can not be read */
  async #read(): Promise<InData> {
    const { python } = this.#options.versions;
    const items: StoredItem[] = [];
    let head: Head | undefined;
    const libraries = await this.#list();
    this.#libraries.clear();
    for (const { name } of libraries) this.#libraries.add(name);
    for (const { name, record } of libraries) {
      const entry = entryOf(record);
      if (name !== libraryName(entry.head ? HEAD_NAME : entry.name)) throw new Error(`${name} has another record`);
      if (entry.item) items.push(entry.item);
      if (!entry.head) continue;
      head = entry.head;
      if (entry.python !== python) throw new Error(`they hold code for Python ${entry.python}, and this is ${python}`);
    }
    return { head, items };
  }

  async #list(): Promise<Library[]> {
    const replies = OWN_PATTERNS.map((pattern) =>
      this.#client.call("FUNCTION", "LIST", "LIBRARYNAME", pattern, "WITHCODE"),
    );
    return (await Promise.all(replies)).flatMap(librariesOf);
  }

  /** Brings the log to the disk, or has the file written where there is none; one such call after the other. */
  #bring(write: () => Promise<void>): Promise<void> {
    const { engine, ready } = this.#options;
    const bringing = this.#bringing.then(async () => {
      await ready();
      const { hasLog } = engine;
      try {
        await (hasLog ? engine.syncLog() : write());
        this.#isFileCurrent = !hasLog;
      } catch (error) {
        this.#isFileCurrent = false;
        throw error;
      }
      if (hasLog) await this.#dropFile();
    });
    this.#bringing = bringing.catch(() => {});
    return bringing;
  }

  async #writeFile(): Promise<void> {
    // what is read has at least the changes that are counted here
    const head = this.#head;
    const { items } = await this.#read();
    await this.#options.file.replace(items, head);
    this.#hasFile = true;
  }

  /** All that it has is in the log. */
  async #dropFile(): Promise<void> {
    if (!this.#hasFile) return;
    this.#hasFile = false;
    await this.#options.file.remove().catch((error) => this.#options.log.warn(textOf(error)));
  }

  #apply(removed: readonly string[], added: readonly StoredItem[]): Maybe<void> {
    const { history, count } = this.#head;
    this.#head = { history: history === "" ? randomBytes(8).toString("hex") : history, count: count + 1 };
    const deletions = removed.map((name) => ["FUNCTION", "DELETE", libraryName(name)]);
    return andThen(this.#transactOrDelete(deletions, this.#loads(added), added.length === 0), () => {
      for (const name of removed) this.#libraries.delete(libraryName(name));
      for (const name of [...added.map(nameOf), HEAD_NAME]) this.#libraries.add(libraryName(name));
    });
  }

  /** What only ends something is done without being counted when there is no memory for that. */
  #transactOrDelete(
    deletions: readonly Command[],
    loads: readonly Command[],
    isEnd: boolean,
  ): Maybe<readonly Buffer[]> {
    const uncounted = (error: unknown): Maybe<readonly Buffer[]> => {
      if (!isEnd || !(error instanceof ReplyError) || !error.message.startsWith("OOM ")) throw error;
      return this.transact(deletions);
    };
    try {
      const done = this.transact([...deletions, ...loads]);
      return done instanceof Promise ? done.catch(uncounted) : done;
    } catch (error) {
      return uncounted(error);
    }
  }

  #loads(items: readonly StoredItem[]): string[][] {
    const head = headRecordOf(this.#head, this.#options.versions);
    const libraries = items.map((item) => libraryCode(nameOf(item), additionOf(item)));
    return [...libraries, libraryCode(HEAD_NAME, head)].map((code) => [...LOAD, code]);
  }

  /** All of it, or nothing. @returns the replies @throws ReplyError with the engine's error */
  transact(commands: readonly Command[]): Maybe<readonly Buffer[]> {
    const bytes = encodeCommands([["MULTI"], ...commands, ["EXEC"]]);
    return andThen(this.#client.ask(bytes, commands.length + 2), (replies) => {
      const frames = framesOf(replies);
      const refused = frames.slice(0, -1).find(isError) ?? frames.at(-1);
      const results = splitAggregate(frames.at(-1) as Buffer)?.children;
      if (!results) throw new ReplyError(scalarText(refused));
      // what shall be deleted may not be there
      const failed = results.find((result, at) => isError(result) && commands[at]?.[1] === LOAD[1]);
      if (failed) throw new ReplyError(scalarText(failed));
      return results;
    });
  }
}

/** The time events among the first that the others do not have. */
function without(items: readonly StoredItem[], others: readonly StoredItem[]): StoredTimer[] {
  const there = new Set(others.map(nameOf));
  return items.filter((item): item is StoredTimer => item.kind === "timer" && !there.has(nameOf(item)));
}

function framesOf(bytes: Buffer): Buffer[] {
  const splitter = new FrameSplitter();
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = splitter.end(bytes, at);
    frames.push(bytes.subarray(at, end));
    at = end;
  }
  return frames;
}
