/**
 * The folder with the files of the engine's data, before the engine reads them. They are Valkey's: a dump, and with
 * `appendonly` a log of several files that a manifest names.
 */
import { join } from "node:path";
import { InternalError, textOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import { codeOf, DISK, type File, type FileSystem, keepCopy, REPAIR_HINT, replaceFile, setAside } from "./disk.ts";
import { isOfGears, readLoggedCommands } from "./rdb/logged-commands.ts";
import { copyRanges, copyWithout, type ModuleData, readModuleData } from "./rdb/module-data.ts";
import { gearsLines, otherLines } from "./rdb/module-report.ts";

/** The names in `dir`, and whether there is to be a log. */
export interface DataNames {
  readonly directory: string;
  readonly dbfilename: string;
  readonly appendonly: boolean;
  readonly appenddirname: string;
  readonly appendfilename: string;
}

interface DataFolderOptions extends DataNames {
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** What can not be read is set aside. */
  readonly repair: boolean;
  /** Data of modules other than RedisGears are left out, rather than keep the server from starting. */
  readonly skipModuleData: boolean;
  readonly disk?: FileSystem;
  readonly now?: () => Date;
}

/** Bytes of a dump that are copied at a time. */
const COPIED_BYTES = 1024 * 1024;
/** What Valkey says of data of modules. */
const OF_MODULES = /no matching module|unknown command '/i;
/** By so many bytes it is known whether a file begins with a dump. */
const MAGIC_BYTES = 5;
/** Files that are set aside before the start is given up: the log, and the dump. */
const MOST_REPAIRS = 2;

export class DataFolder {
  readonly #options: DataFolderOptions;
  readonly #disk: FileSystem;
  #hasData = false;
  #repairs = 0;
  #isWithoutModules = false;

  constructor(options: DataFolderOptions) {
    this.#options = options;
    this.#disk = options.disk ?? DISK;
  }

  /** Were there any data before? */
  get hasData(): boolean {
    return this.#hasData;
  }

  /**
   * Must be called before the engine boots.
   * @throws InternalError when the files are not what the engine could go on with
   */
  async prepare(): Promise<void> {
    const { appendonly, log } = this.#options;
    const hasLog = await this.#exists(this.#manifest);
    if (appendonly && !hasLog) await this.#begin();
    if (!appendonly && hasLog)
      log.warn(
        `there is a log of changes in ${this.#logFolder}, which is not read: appendonly is no. The data are those of ${this.#dump}`,
      );
    this.#hasData = await this.#exists(appendonly ? this.#manifest : this.#dump);
    if (this.#hasData && !appendonly) await this.#tryDump();
  }

  /**
   * The engine does not boot.
   * @returns whether it shall try again, for something has been done about it
   * @throws InternalError that says which file it is
   */
  async mend(reason: string): Promise<boolean> {
    const { appendonly, repair, log } = this.#options;
    if (OF_MODULES.test(reason) && !this.#isWithoutModules) return this.#leaveModulesOut();
    const path = appendonly ? this.#logFolder : this.#dump;
    const text = `the data in ${path} can not be loaded: ${reason}`;
    if (!(await this.#exists(path))) return false;
    if (!repair) throw new InternalError(`${text}. ${REPAIR_HINT}`);
    if (++this.#repairs > MOST_REPAIRS) return false;
    const aside = await setAside(this.#disk, path, "damaged", this.#options.now?.() ?? new Date());
    log.error(`${text}. It is now ${aside}`);
    if (appendonly) await this.#begin();
    return true;
  }

  /**
   * Valkey refuses a file with data of modules as a whole. A copy without them takes its place; it is kept as it was.
   * @throws InternalError when it is damaged, or data of others than RedisGears are in it, which nobody has said to be left out
   */
  async #leaveModulesOut(): Promise<boolean> {
    const { log, skipModuleData } = this.#options;
    this.#isWithoutModules = true;
    for (const path of this.#options.appendonly ? await this.#filesOfLog() : [this.#dump]) {
      const data = (await this.#beginsWithDump(path)) ? readingOf(path) : undefined;
      const { counts, kept } = readLoggedCommands(path, data?.end ?? 0);
      const commands = [...counts].map(([name, count]) => ({ name, line: `${count} commands ${name}` }));
      const others = [
        ...(data ? otherLines(data) : []),
        ...commands.filter(({ name }) => !isOfGears(name)).map(({ line }) => line),
      ];
      const gears = [
        ...(data ? gearsLines(data.gears) : []),
        ...commands.filter(({ name }) => isOfGears(name)).map(({ line }) => `${line} in the log of changes`),
      ];
      if (counts.size + (data?.records ?? 0) === 0) continue;
      if (others.length > 0 && !skipModuleData)
        throw new InternalError(
          `the data in ${path} can not be loaded: it has ${others.join("; ")}. Start once with --skip-module-data to leave that out`,
        );
      await this.#replaceBy(path, async (file, copy) => {
        if (data) await copyWithout(copy, file, data);
        await copyRanges(copy, kept, (bytes) => file.writeFile(bytes));
      });
      for (const line of others) log.warn(`left out: ${line}`);
      for (const line of gears) log.warn(`of RedisGears: ${line}`);
      if (gears.length > 0)
        log.warn("what was registered works again when its scripts are sent again; see docs/migration.md");
    }
    return true;
  }

  async #replaceBy(path: string, write: (file: File, copy: string) => Promise<void>): Promise<void> {
    const copy = await keepCopy(this.#disk, path, "with-modules", this.#options.now?.() ?? new Date());
    const { mtime } = await this.#disk.stat(copy);
    await replaceFile(this.#disk, path, (file) => write(file, copy).then(() => file.utimes(mtime, mtime)));
    this.#options.log.warn(`${path} has data of modules, which are left out; the file is kept as ${copy}`);
  }

  async #beginsWithDump(path: string): Promise<boolean> {
    const file = await this.#disk.open(path, "r");
    try {
      const { buffer } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
      return /^(?:REDIS|VALKE)/.test(buffer.toString("latin1"));
    } finally {
      await file.close();
    }
  }

  /** The files that the log consists of. @throws InternalError when there are none */
  async #filesOfLog(): Promise<string[]> {
    const manifest = await this.#disk.readFile(this.#manifest, "utf8");
    const names = [...manifest.matchAll(/^file (\S+) seq \d+ type [bi]/gm)].map(([, name]) => String(name));
    if (names.length === 0) throw new InternalError(`${this.#manifest} names no file to begin with`);
    return names.map((name) => join(this.#logFolder, name));
  }

  get #dump(): string {
    return join(this.#options.directory, this.#options.dbfilename);
  }

  get #logFolder(): string {
    return join(this.#options.directory, this.#options.appenddirname);
  }

  get #manifest(): string {
    return join(this.#logFolder, `${this.#options.appendfilename}.manifest`);
  }

  /**
   * There is no log yet. Valkey would begin with an empty one, also when there is a dump, and go on to replace that: so a
   * log is begun whose first file is the dump. (A log of Redis 6 and earlier is one file beside the dump, which Valkey
   * takes over.)
   */
  async #begin(): Promise<void> {
    const { directory, appendfilename, log } = this.#options;
    const left = await this.#changesLeft();
    if (left !== undefined)
      throw new InternalError(
        `${this.#manifest} is missing, and ${left} is there: the log can not be read without it. Put it back, or move the folder away`,
      );
    if ((await this.#exists(join(directory, appendfilename))) || !(await this.#exists(this.#dump))) return;
    const base = `${appendfilename}.1.base.rdb`;
    await this.#disk.mkdir(this.#logFolder, { recursive: true, mode: 0o700 });
    const content = await this.#disk.open(this.#dump, "r");
    try {
      await replaceFile(this.#disk, join(this.#logFolder, base), (file) => copyInto(file, content));
    } finally {
      await content.close();
    }
    const manifest = `file ${base} seq 1 type b\n`;
    await replaceFile(this.#disk, this.#manifest, (file) => file.writeFile(manifest));
    log.info(`the log of changes begins with the data of ${this.#dump}`);
  }

  /** A file with changes. At the very first start there is an empty one before the manifest. */
  async #changesLeft(): Promise<string | undefined> {
    const { appendfilename } = this.#options;
    for (const name of await this.#disk.readdir(this.#logFolder).catch(() => [])) {
      if (!name.startsWith(appendfilename) || !name.endsWith(".aof")) continue;
      if ((await this.#disk.stat(join(this.#logFolder, name))).size > 0) return name;
    }
    return undefined;
  }

  /** Of a file that it can not even open the engine says little. @throws InternalError */
  async #tryDump(): Promise<void> {
    try {
      const file = await this.#disk.open(this.#dump, "r");
      await file.read(Buffer.alloc(1), 0, 1, 0).finally(() => file.close());
    } catch (error) {
      throw new InternalError(`the data in ${this.#dump} can not be read: ${textOf(error)}`);
    }
  }

  async #exists(path: string): Promise<boolean> {
    try {
      await this.#disk.stat(path);
      return true;
    } catch (error) {
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return false;
      throw new InternalError(`the data in ${path} can not be read: ${textOf(error)}`);
    }
  }
}

async function copyInto(target: File, source: File): Promise<void> {
  const piece = Buffer.alloc(COPIED_BYTES);
  for (let at = 0; ; ) {
    const { bytesRead } = await source.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return;
    await target.writeFile(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
}

/** @throws InternalError */
function readingOf(path: string): ModuleData {
  try {
    return readModuleData(path);
  } catch (error) {
    throw new InternalError(`the data in ${path} can not be loaded: ${textOf(error)}`);
  }
}
