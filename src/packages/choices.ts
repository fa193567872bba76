/**
 * What was chosen for requirements, kept between starts. Those of one script are kept together: what others ask for beside the
 * same text, and what comes of that, is not what this text means to everybody.
 */
import { basename } from "node:path";
import { remember } from "../newest.ts";
import type { PackageSettings } from "./installed.ts";
import type { PackageCache } from "./package-cache.ts";
import type { CachedWheel } from "./source.ts";

/** A wheel by which a requirement was met. */
export type KeptWheel = Pick<CachedWheel, "fileName" | "sha256">;

/** The wheels of each requirement, by its text. */
export type Choice = ReadonlyMap<string, readonly KeptWheel[]>;

interface FoundChoice {
  readonly choice: Choice;
  /** They were chosen together, and not each for itself. */
  readonly isTogether: boolean;
}

/** By which options something was chosen: by the present ones, or by any. */
export const OWN = 0;
export const ANY = 1;
type By = typeof OWN | typeof ANY;

/** Milliseconds until a requirement for which nothing was to be installed is looked at again. */
const WITHOUT_MS = 10_000;
const MOST_WITHOUT = 1_000;
const HASH = /^[0-9a-f]{64}$/;

interface ChoicesOptions {
  readonly cache: Pick<PackageCache, "read" | "keep" | "forget">;
  readonly settings: Pick<PackageSettings, "packagesDir" | "pyodidePackages" | "indexUrl">;
}

export class Choices {
  readonly #options: ChoicesOptions;
  /** Requirements for which nothing was installed, and until when that counts. */
  readonly #without = new Map<string, number>();

  constructor(options: ChoicesOptions) {
    this.#options = options;
  }

  /**
   * What was chosen for these together, or else for each of them. Whether the latter go together the caller has to see.
   * @returns undefined when at least one was not chosen before
   */
  async find(texts: readonly string[], by: By): Promise<FoundChoice | undefined> {
    if (texts.length > 1) {
      const together = choiceOf(await this.#options.cache.read(this.#namesOf(texts)[by]));
      if (together && texts.every((text) => together.has(text))) return { choice: together, isTogether: true };
    }
    const each = new Map<string, readonly KeptWheel[]>();
    for (const text of texts) {
      const wheels = this.#needsNothing(text) ? [] : await this.#alone(text, by);
      if (!wheels) return undefined;
      each.set(text, wheels);
    }
    return { choice: each, isTogether: texts.length === 1 };
  }

  /** Keeps what was chosen for these requirements together; and that nothing was needed, only for a while. */
  async keep(choice: Choice): Promise<void> {
    const texts = [...choice.keys()];
    if ([...choice.values()].every((wheels) => wheels.length === 0)) {
      // clients can send ever new texts, so that only the latest are kept
      for (const text of texts) remember(this.#without, text, performance.now() + WITHOUT_MS, MOST_WITHOUT);
      return;
    }
    const { cache } = this.#options;
    for (const name of this.#namesOf(texts)) await cache.keep(name, [...choice].map(plain));
    if (texts.length === 1) return;
    for (const [text, wheels] of choice) await cache.keep(partName(text), [plain([text, wheels])]);
  }

  /** The wheels of one requirement, alone or as it was chosen last beside others. */
  async exported(text: string): Promise<readonly KeptWheel[] | undefined> {
    const wheels =
      (await this.#alone(text, OWN)) ??
      (await this.#alone(text, ANY)) ??
      choiceOf(await this.#options.cache.read(partName(text)))?.get(text);
    return wheels && wheels.length > 0 ? wheels : undefined;
  }

  /** Nobody needs these together any more. */
  async forget(texts: readonly string[]): Promise<void> {
    const { cache } = this.#options;
    for (const name of this.#namesOf(texts)) await cache.forget(name);
    const [text, ...more] = texts;
    if (text !== undefined && more.length === 0) await cache.forget(partName(text));
  }

  async #alone(text: string, by: By): Promise<readonly KeptWheel[] | undefined> {
    return choiceOf(await this.#options.cache.read(this.#namesOf([text])[by]))?.get(text);
  }

  #needsNothing(text: string): boolean {
    return (this.#without.get(text) ?? 0) > performance.now();
  }

  /** Servers of one user share the cache: what was chosen with other options is not what these options choose. */
  #namesOf(texts: readonly string[]): [own: string, any: string] {
    const { packagesDir, pyodidePackages, indexUrl } = this.#options.settings;
    const wanted = JSON.stringify(texts.toSorted());
    return [`choice ${JSON.stringify([packagesDir, pyodidePackages, indexUrl])} ${wanted}`, `choice ${wanted}`];
  }
}

const partName = (text: string): string => `part ${text}`;

const plain = ([text, wheels]: [string, readonly KeptWheel[]]): [string, KeptWheel[]] => [
  text,
  wheels.map(({ fileName, sha256 }) => ({ fileName, sha256 })),
];

/** What a file of the cache says, if it is what {@link Choices.keep} has written: a damaged one counts as none. */
function choiceOf(kept: unknown): Choice | undefined {
  const isWheel = (one: Partial<KeptWheel> | null): boolean =>
    typeof one?.fileName === "string" &&
    one.fileName === basename(one.fileName) &&
    typeof one.sha256 === "string" &&
    HASH.test(one.sha256);
  const isPair = (pair: unknown): pair is [string, KeptWheel[]] =>
    Array.isArray(pair) && typeof pair[0] === "string" && Array.isArray(pair[1]) && pair[1].every(isWheel);
  return Array.isArray(kept) && kept.every(isPair) ? new Map(kept) : undefined;
}
