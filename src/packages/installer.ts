/** Installs what scripts require: chooses, gets and unpacks packages, and remembers what was chosen. */
import { closeSync, existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Logger } from "../log.ts";
import { Places } from "../places.ts";
import { isWholePack, openPack } from "../python/pack.ts";
import type { CompileModules } from "../python/python-host.ts";
import type { Preload, SessionPackages } from "../python/python-session.ts";
import { PackageCache, sha256Of } from "./package-cache.ts";
import { addressed, BY_ADDRESS } from "./addressed-wheel.ts";
import { ANY, type Choice, Choices, type KeptWheel, OWN } from "./choices.ts";
import { type Budget, Downloader } from "./downloader.ts";
import { InstallError, PackageError, Unreachable } from "./package-errors.ts";
import { FolderSource, type FolderSourceOptions } from "./folder-source.ts";
import { IndexSource } from "./index-source.ts";
import { type Interpreter, type LockedPackage, readInterpreter } from "./interpreter.ts";
import { LOCK, LockSource, type LockSourceOptions } from "./lock-source.ts";
import { parseWheelName, rankOf } from "./metadata.ts";
import type { Installed, PackageSettings } from "./installed.ts";
import { parseRequirement, type Requirement } from "./requirement.ts";
import { type Chosen, PackageResolver } from "./package-resolver.ts";
import type { CachedWheel, Source } from "./source.ts";
import { readTransfer, type SentRequirement, writeTransfer } from "./transfer.ts";
import { makePack, type UnpackLimits } from "./wheel.ts";

interface InstallerOptions {
  readonly settings: PackageSettings;
  readonly compile: CompileModules;
  /** Milliseconds without progress after which a download is given up. */
  readonly idleMs: () => number;
  /** Names of packages in whose place something comes with the server. */
  readonly builtIn: ReadonlySet<string>;
  readonly log: Logger;
}

/** What one package was unpacked to. */
interface Pack {
  readonly name: string;
  readonly path: string;
}

interface Outcome extends Installed {
  readonly packs: readonly Pack[];
}

/** A file that is a module, or makes a folder one; those of tests are not for scripts. */
const MODULE = /^(?!tests?\/)(?:([A-Za-z]\w*)\/__init__\.py|([A-Za-z]\w*)(?:\.py|\.(?:cpython-|abi3\.)[\w.-]*so))$/;
/** To be raised when packs are made in another way. */
const PACK_FORMAT = 2;
/** Packs that are made at a time: each takes memory, and an interpreter that compiles. */
const PACKED_AT_ONCE = 2;
/** Of a list in the log. */
const SHOWN_TEXTS = 10;
const SHOWN_LENGTH = 200;
/** Milliseconds that all downloads of an installation may take together. */
const MAX_DOWNLOAD_MS = 30 * 60_000;
/** How much larger than `max-packages-size` packages may be when they are unpacked. */
const UNPACKED = 4;
const MAX_FILES = 50_000;
/** Servers of one user share the cache: each tells so often what it uses, though it may not have looked at it. */
const TELL_USED_MS = 20 * 60_000;

export class Installer {
  readonly #options: InstallerOptions;
  readonly #interpreter: Interpreter;
  readonly #cache: PackageCache;
  readonly #choices: Choices;
  readonly #limits: UnpackLimits;
  /** Installations in progress, by what they install; and their parts. */
  readonly #installing = new Map<string, Promise<Outcome>>();
  readonly #downloads = new Map<string, Promise<CachedWheel>>();
  readonly #packing = new Map<string, Promise<string>>();
  readonly #places = new Places(PACKED_AT_ONCE);
  /** Packs that were whole when they were looked at first, or were made since. */
  readonly #whole = new Set<string>();
  readonly #telling: NodeJS.Timeout;
  readonly #ending = new AbortController();
  /** Packs that every interpreter has, by the names of the packages. */
  #preloaded: ReadonlyMap<string, string> = new Map();
  /** What sessions were given, by its key. */
  readonly #given = new Map<string, WeakRef<SessionPackages>>();

  /** @throws InternalError when there is no folder for the cache */
  constructor(options: InstallerOptions) {
    this.#options = options;
    this.#interpreter = readInterpreter();
    this.#cache = new PackageCache(options.settings.cacheDir);
    this.#choices = new Choices({ cache: this.#cache, settings: options.settings });
    this.#limits = { files: MAX_FILES, bytes: options.settings.maxBytes * UNPACKED };
    void this.#cache.removeStale(options.log).then(() => this.#limitCache());
    this.#telling = setInterval(() => void this.#tellUsed(), TELL_USED_MS).unref();
  }

  /** The server stops: what is being got is given up, and nothing of it left. */
  async close(): Promise<void> {
    clearInterval(this.#telling);
    this.#ending.abort();
    await Promise.allSettled(this.#downloads.values());
  }

  /** The folder where everything is kept. */
  get folder(): string {
    return this.#cache.folder;
  }

  /**
   * Installs packages for these requirements, all together.
   * @param force choose anew, even if these were installed before
   * @throws PackageError when they can not be had, InstallError when they can not be used
   */
  install(texts: readonly string[], force: boolean): Promise<Outcome> {
    const wanted = [...new Set(texts)];
    const key = JSON.stringify([wanted.toSorted(), force]);
    const present = this.#installing.get(key);
    if (present) return present;
    const installing = this.#install(wanted, force).finally(() => this.#installing.delete(key));
    this.#installing.set(key, installing);
    return installing;
  }

  /**
   * Installs packages that every interpreter is to have.
   * @returns undefined when nothing had to be installed
   * @throws PackageError when they can not be had
   */
  async preload(texts: readonly string[]): Promise<Preload | undefined> {
    const { packs } = await this.install(texts, false);
    if (packs.length === 0) return undefined;
    this.#preloaded = new Map(packs.map(({ name, path }) => [name, path]));
    const named = new Set(texts.map((text) => parseRequirement(text).name));
    const modules = packs.filter(({ name }) => named.has(name)).flatMap(({ path }) => modulesOf(path));
    return { packs: packs.map(({ path }) => path).toSorted(), modules: modules.toSorted() };
  }

  /** Chooses packages and gets their wheels, without making anything of them. @throws PackageError */
  async fetch(texts: readonly string[]): Promise<{ wheel: CachedWheel; locked: LockedPackage | undefined }[]> {
    const { chosen, wheels } = await this.#choose(texts.map(parseRequirement));
    return [...wheels].map(([name, wheel]) => ({ wheel, locked: chosen.get(name)?.candidate.locked }));
  }

  /** Makes room, as far as `packages-cache-size` says. */
  async #limitCache(): Promise<void> {
    const { settings, log } = this.#options;
    if (settings.maxCacheBytes > 0) await this.#cache.limit(settings.maxCacheBytes, this.#used(), log);
  }

  async #tellUsed(): Promise<void> {
    for (const path of this.#used()) await this.#cache.use(path);
  }

  /** Packs that interpreters may still be given: those that all have, and those of all sessions that there are. */
  #used(): Set<string> {
    const used = new Set(this.#preloaded.values());
    for (const [key, reference] of this.#given) {
      const packages = reference.deref();
      if (packages === undefined) this.#given.delete(key);
      for (const path of packages?.packs ?? []) used.add(path);
    }
    return used;
  }

  /** The same packages are one object, which lives as long as a session has it. */
  #give(packs: readonly Pack[]): SessionPackages | undefined {
    const more = packs.filter(({ name, path }) => this.#preloaded.get(name) !== path);
    const isPlain = more.some(({ name }) => this.#preloaded.has(name));
    if (more.length === 0) return undefined;
    const made = sessionPackages(isPlain ? packs : more, isPlain);
    const present = this.#given.get(made.key)?.deref();
    if (!present) this.#given.set(made.key, new WeakRef(made));
    return present ?? made;
  }

  /** Nobody needs these together any more: the next time they are chosen anew. */
  forget(texts: readonly string[]): Promise<void> {
    return this.#choices.forget([...new Set(texts)]);
  }

  /** A requirement that was installed, in chunks. @returns undefined when it was not */
  async exported(text: string): Promise<Buffer[] | undefined> {
    const kept = await this.#choices.exported(text);
    if (!kept) return undefined;
    const wheels: SentRequirement["wheels"][number][] = [];
    for (const one of kept) {
      const wheel = await this.#cache.wheel(one);
      if (!wheel) return undefined;
      wheels.push({ fileName: wheel.fileName, bytes: await readFile(wheel.path) });
    }
    return writeTransfer({ text, wheels });
  }

  /**
   * Installs what another server has exported.
   * @returns the requirement
   * @throws BadTransfer, InstallError
   */
  async import(chunks: readonly Buffer[]): Promise<string> {
    const sent = readTransfer(chunks);
    const wheels: CachedWheel[] = [];
    for (const wheel of sent.wheels) wheels.push(await this.#importWheel(wheel));
    await this.#packAll(wheels, false);
    await this.#choices.keep(new Map([[sent.text, wheels]]));
    void this.#limitCache();
    return sent.text;
  }

  async #importWheel({ fileName, bytes }: SentRequirement["wheels"][number]): Promise<CachedWheel> {
    const name = parseWheelName(fileName);
    if (name && rankOf(name.tags, this.#interpreter.tags) === undefined) {
      throw new InstallError(`${fileName} is not for this interpreter`);
    }
    const temporary = this.#cache.temporary();
    await writeFile(temporary, bytes, { mode: 0o600 });
    return this.#cache.keepWheel(temporary, { fileName, sha256: sha256Of(bytes) });
  }

  async #install(texts: readonly string[], force: boolean): Promise<Outcome> {
    const known = force ? undefined : await this.#known(texts, OWN);
    if (known) return known;
    const { log } = this.#options;
    log.info(`installing ${shown(texts)}`);
    try {
      return await this.#installAnew(texts, force);
    } catch (error) {
      const before = error instanceof PackageError && !force ? await this.#known(texts, ANY) : undefined;
      if (!before) throw error;
      log.warn(`${(error as Error).message}; what was installed for ${shown(texts)} with other options is used`);
      return before;
    }
  }

  async #installAnew(texts: readonly string[], force: boolean): Promise<Outcome> {
    const { log } = this.#options;
    const start = performance.now();
    const requirements = texts.map(parseRequirement);
    const { chosen, wheels } = await this.#choose(requirements);
    log.info(`chosen for ${shown(texts)}: ${listed(chosen)}`);
    const packs = await this.#packAll(wheels.values(), force);
    const choice = new Map(
      requirements.map(({ text, name }) => [text, closure(name, chosen).flatMap((one) => wheels.get(one) ?? [])]),
    );
    await this.#choices.keep(choice);
    log.info(`installed ${shown(texts)} in ${Math.round(performance.now() - start)} ms`);
    const packages = this.#give(packs);
    void this.#limitCache();
    return { packages, wheelsOf: fileNames(choice), packs };
  }

  /**
   * What was chosen before for these texts, if that goes together and is still there.
   * @param by with these options, or with any
   */
  async #known(texts: readonly string[], by: typeof OWN | typeof ANY): Promise<Outcome | undefined> {
    const found = await this.#choices.find(texts, by);
    if (!found) return undefined;
    const { choice, isTogether } = found;
    const wheels = new Map<string, CachedWheel>();
    for (const one of [...choice.values()].flat()) {
      const wheel = await this.#cache.wheel(one);
      const name = packageOf(one);
      if (!wheel || (wheels.get(name)?.sha256 ?? one.sha256) !== one.sha256) return undefined;
      wheels.set(name, wheel);
    }
    const packs = await this.#packAll(wheels.values(), false);
    // what is chosen for one of them alone may change
    if (by === OWN && !isTogether) await this.#choices.keep(choice);
    return { packages: this.#give(packs), wheelsOf: fileNames(choice), packs };
  }

  /** Chooses packages and gets their wheels. A source that does not give what it has is passed over. */
  async #choose(requirements: readonly Requirement[]): Promise<{
    readonly chosen: ReadonlyMap<string, Chosen>;
    readonly wheels: ReadonlyMap<string, CachedWheel>;
  }> {
    const { settings, idleMs, builtIn, log } = this.#options;
    const [interpreter, limits] = [this.#interpreter, this.#limits];
    const budget: Budget = { bytes: settings.maxBytes, deadline: performance.now() + MAX_DOWNLOAD_MS };
    const ending = this.#ending.signal;
    const downloader = new Downloader({ cache: this.#cache, idleMs, budget, ending, running: this.#downloads, log });
    const unreachable = new Map<string, string>();
    for (;;) {
      const resolver = new PackageResolver({
        ...{ sources: this.#sources(downloader), interpreter, unreachable },
        provided: (name) => builtIn.has(name),
        direct: (requirement) => addressed(requirement, { downloader, settings, interpreter, limits }),
      });
      const chosen = await resolver.resolve(requirements);
      const wheels = new Map<string, CachedWheel>();
      let asked = "";
      try {
        for (const [name, { candidate }] of chosen) {
          asked = candidate.source;
          wheels.set(name, await candidate.fetch());
        }
        return { chosen, wheels };
      } catch (error) {
        if (!(error instanceof Unreachable) || unreachable.has(asked) || asked === BY_ADDRESS) throw error;
        log.warn(error.message);
        unreachable.set(asked, error.message);
      }
    }
  }

  #sources(downloader: Downloader): Source[] {
    const { settings, log } = this.#options;
    const { packagesDir, pyodidePackages, indexUrl } = settings;
    const common = { cache: this.#cache, interpreter: this.#interpreter, limits: this.#limits, downloader, log };
    const base = pyodidePackages === "" ? this.#interpreter.packagesUrl : pyodidePackages;
    return [
      ...(packagesDir === "" ? [] : this.#folderSources(packagesDir, common)),
      ...(base === undefined || base === "no"
        ? []
        : [new LockSource({ ...common, base, isImplied: pyodidePackages === "" })]),
      ...(indexUrl === "" || indexUrl === "no" ? [] : [new IndexSource({ ...common, url: indexUrl })]),
    ];
  }

  /** What the lock file there has, if there is one, and the other wheels. */
  #folderSources(
    folder: string,
    common: Omit<LockSourceOptions, "base"> & Omit<FolderSourceOptions, "folder" | "label">,
  ): Source[] {
    const label = "packages-dir";
    const hasLock = existsSync(join(folder, LOCK));
    return [
      ...(hasLock ? [new LockSource({ ...common, base: folder, label })] : []),
      new FolderSource({ ...common, folder, label }),
    ];
  }

  #packAll(wheels: Iterable<CachedWheel>, again: boolean): Promise<Pack[]> {
    return Promise.all(
      Array.from(wheels, async (wheel) => ({ name: packageOf(wheel), path: await this.#pack(wheel, again) })),
    );
  }

  /** The pack of a wheel; it is made once. */
  #pack(wheel: CachedWheel, again: boolean): Promise<string> {
    const name = `${wheel.sha256}-${this.#interpreter.abi}-${PACK_FORMAT}.pack`;
    const present = this.#packing.get(name);
    if (present) return present;
    const packing = this.#packAnew(wheel, this.#cache.packPath(name), again).finally(() => this.#packing.delete(name));
    this.#packing.set(name, packing);
    return packing;
  }

  async #packAnew(wheel: CachedWheel, path: string, again: boolean): Promise<string> {
    if (!again && (this.#whole.has(path) ? existsSync(path) : await isWholePack(path))) {
      this.#whole.add(path);
      await this.#cache.use(path);
      return path;
    }
    try {
      await this.#places.take(() => makePack(wheel.path, path, this.#limits, this.#options.compile));
    } catch (error) {
      if (!(error instanceof InstallError)) throw error;
      throw new InstallError(`${wheel.fileName}: ${error.message}`);
    }
    this.#whole.add(path);
    return path;
  }
}

const fileNames = (choice: Choice): ReadonlyMap<string, readonly string[]> =>
  new Map([...choice].map(([text, wheels]) => [text, wheels.map(({ fileName }) => fileName)]));

/** Two wheels of one package can not be used together. */
const packageOf = ({ fileName }: KeptWheel): string => parseWheelName(fileName)?.name ?? fileName;

/** Requirements for people: clients can send many, and long ones. */
function shown(texts: readonly string[]): string {
  const some = texts.slice(0, SHOWN_TEXTS).map((text) => text.slice(0, SHOWN_LENGTH));
  return some.join(", ") + (texts.length > SHOWN_TEXTS ? ` and ${texts.length - SHOWN_TEXTS} more` : "");
}

const listed = (chosen: ReadonlyMap<string, Chosen>): string =>
  [...chosen.values()]
    .map(({ candidate }) => `${candidate.name} ${candidate.version} (${candidate.source})`)
    .join(", ");

/** The same packages in whatever order are the same. */
function sessionPackages(packs: readonly Pack[], isPlain: boolean): SessionPackages {
  const sorted = packs.map(({ path }) => path).toSorted();
  return { key: sha256Of(sorted.map((path) => basename(path)).join("\n")).slice(0, 32), packs: sorted, isPlain };
}

/** The modules of a pack that can be imported by a name without a dot. */
function modulesOf(path: string): string[] {
  const { descriptor, files } = openPack(path);
  closeSync(descriptor);
  return files.flatMap(
    (file) =>
      MODULE.exec(file.path)
        ?.slice(1, 3)
        .find((name) => name !== undefined) ?? [],
  );
}

/** A package with all that it needs. */
function closure(name: string, chosen: ReadonlyMap<string, Chosen>): string[] {
  const names = new Set([name]);
  for (const one of names) for (const needed of chosen.get(one)?.needs ?? []) names.add(needed);
  return [...names];
}
