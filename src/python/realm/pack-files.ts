/**
 * Runs in the worker, outside the realm: the files of the packages that main has given to this interpreter. The realm names
 * them by number, so there is no path that it could choose, and no way to any other file.
 */
import { readSync } from "node:fs";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { type OpenPack, openPack, type PackedFile } from "../pack.ts";

export class PackFiles {
  readonly #port: MessagePort;
  #initial: readonly string[] | undefined;
  #isGiven = false;
  readonly #files: (PackedFile & Pick<OpenPack, "descriptor">)[] = [];
  readonly #seen = new Set<string>();

  /**
   * @param port brings paths of packs, once: an interpreter keeps its packages for life
   * @param initial paths of the packs that it has from the start
   */
  constructor(port: MessagePort, initial: readonly string[]) {
    this.#port = port;
    this.#initial = initial;
  }

  /**
   * At first the files of the start, then those that main has given: a JSON list of path and size, whose places are the files'
   * numbers, counted from the end of the first list.
   */
  table(): string {
    const before = this.#files.length;
    for (const { descriptor, files } of this.#take().flatMap((path) => opened(path) ?? [])) {
      for (const file of files) {
        // two packages may have the same file, such as that of a namespace: the first one counts
        if (this.#seen.has(file.path)) continue;
        this.#seen.add(file.path);
        this.#files.push({ ...file, descriptor });
      }
    }
    return JSON.stringify(this.#files.slice(before).map(({ path, size }) => [path, size]));
  }

  #take(): readonly string[] {
    const initial = this.#initial;
    this.#initial = undefined;
    if (initial !== undefined || this.#isGiven) return initial ?? [];
    const given = receiveMessageOnPort(this.#port)?.message as readonly string[] | undefined;
    this.#isGiven = given !== undefined;
    return given ?? [];
  }

  /** Reads into memory that the realm has named. @returns how many bytes; 0 at the end of the file, and for none */
  read(number: number, into: Buffer, position: number): number {
    const file = this.#files[number];
    if (file === undefined || !(position >= 0) || position >= file.size) return 0;
    const length = Math.min(into.length, file.size - position);
    return length === 0 ? 0 : readSync(file.descriptor, into, 0, length, file.at + position);
  }
}

/** One that somebody has removed is left out: that shows when its modules are imported. */
function opened(path: string): OpenPack | undefined {
  try {
    return openPack(path);
  } catch {
    return undefined;
  }
}
