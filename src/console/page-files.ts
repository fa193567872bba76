/** The files of the page, as the build has made them. They hold no data: everybody may have them. */
import { readdirSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

class PageFile {
  readonly type: string;
  readonly bytes: Buffer;
  #gzip: Buffer | undefined;

  constructor(type: string, bytes: Buffer) {
    this.type = type;
    this.bytes = bytes;
  }

  /** Made when it is first asked for: all files would take 40 ms of the start. */
  get gzip(): Buffer {
    this.#gzip ??= gzipSync(this.bytes);
    return this.#gzip;
  }
}

/** The page is always compiled, also when this file is run from its source. */
const FOLDER = fileURLToPath(new URL("../../dist/console/page/", import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

export class PageFiles {
  /** By the path of a URL. What is not in here is not there, whatever a path says. */
  readonly #all = new Map<string, PageFile>();

  /** @throws Error when the page was not built */
  constructor(folder = FOLDER) {
    for (const name of readdirSync(folder)) {
      const type = TYPES[extname(name)];
      if (type === undefined) continue;
      this.#all.set(name === "index.html" ? "/" : `/${name}`, new PageFile(type, readFileSync(folder + name)));
    }
  }

  find(path: string): PageFile | undefined {
    return this.#all.get(path);
  }
}
