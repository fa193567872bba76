/**
 * Runs in the worker, outside the realm: the files of the packages that main has given to this interpreter. The realm names
 * them by number, so there is no path that it could choose, and no way to any other file.
 */
import { readSync } from "node:fs";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { type OpenPack, openPack, type PackedFile } from "../pack.ts";

export class PackFiles {
  readonly #port: MessagePort;
  readonly #files: (PackedFile & Pick<OpenPack, "descriptor">)[] = [];

  /** @param port brings paths of packs, once: an interpreter keeps its packages for life */
  constructor(port: MessagePort) {
    this.#port = port;
  }

  /** What main has given since it was last asked: a JSON list of path and size, whose places are the files' numbers. */
  table(): string {
    const paths = receiveMessageOnPort(this.#port)?.message as readonly string[] | undefined;
    if (paths === undefined || this.#files.length > 0) return "[]";
    const seen = new Set<string>();
    for (const { descriptor, files } of paths.flatMap((path) => opened(path) ?? [])) {
      for (const file of files) {
        // two packages may have the same file, such as that of a namespace: the first one counts
        if (seen.has(file.path)) continue;
        seen.add(file.path);
        this.#files.push({ ...file, descriptor });
      }
    }
    return JSON.stringify(this.#files.map(({ path, size }) => [path, size]));
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
