/** Gets files from elsewhere, with limits for their size and for the time in which nothing comes. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "../log.ts";
import type { PackageCache } from "./package-cache.ts";
import { InstallError, PackageError, Unreachable } from "./package-errors.ts";
import type { CachedWheel } from "./source.ts";

interface DownloaderOptions {
  readonly cache: PackageCache;
  /** Milliseconds without progress after which a download is given up. */
  readonly idleMs: () => number;
  readonly budget: Budget;
  /** The server stops: nothing is got any more. */
  readonly ending: AbortSignal;
  /** Downloads in progress, by address and hash: several who want the same share one. */
  readonly running: Map<string, Promise<CachedWheel>>;
  readonly log: Pick<Logger, "info">;
}

/** What one installation may take. */
export interface Budget {
  bytes: number;
  /** In terms of `performance.now()`. */
  readonly deadline: number;
}

/** What is wanted of a server, and must come. */
interface Wanted {
  readonly url: string;
  /** For people. */
  readonly what: string;
  readonly accept?: string;
}

/** Progress is logged after each so many bytes. */
const STEP_BYTES = 16 * 1024 * 1024;
const MAX_REDIRECTS = 5;
/** Most bytes of a page of an index, or of a METADATA file. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

export class Downloader {
  readonly #options: DownloaderOptions;
  constructor(options: DownloaderOptions) {
    this.#options = options;
  }

  /**
   * A wheel, from the cache if it is there.
   * @param sha256 the hash that it must have; undefined: any
   * @throws PackageError when it can not be had or has another hash
   */
  async wheel(url: string, fileName: string, sha256: string | undefined): Promise<CachedWheel> {
    const cached = sha256 && (await this.#options.cache.wheel({ sha256, fileName }));
    if (cached) return cached;
    const key = `${sha256} ${url}`;
    const { running } = this.#options;
    const present = running.get(key);
    if (present) return present;
    const download = this.#download(url, fileName, sha256);
    running.set(key, download);
    try {
      return await download;
    } finally {
      running.delete(key);
    }
  }

  /** A text of a server, with its type and the address that it came from. @throws PackageError when it can not be had */
  async page(wanted: Wanted): Promise<{ body: Buffer; type: string; url: string } | undefined> {
    const idle = this.#limit();
    try {
      const response = await request(wanted, idle);
      if (response.status === 404) return undefined;
      checkStatus(response, wanted);
      const pieces: Buffer[] = [];
      let bytes = 0;
      for await (const piece of bodyOf(response, idle)) {
        bytes += piece.length;
        this.#take(piece.length, wanted);
        if (bytes > MAX_PAGE_BYTES) throw new PackageError(`${wanted.what} is longer than ${MAX_PAGE_BYTES} bytes`);
        pieces.push(piece);
      }
      return { body: Buffer.concat(pieces), type: response.headers.get("content-type") ?? "", url: response.url };
    } catch (error) {
      throw failure(error, wanted, idle);
    } finally {
      idle.end();
    }
  }

  async #download(url: string, fileName: string, sha256: string | undefined): Promise<CachedWheel> {
    const { cache, log } = this.#options;
    const wanted = { url, what: fileName };
    const temporary = cache.temporary();
    const idle = this.#limit();
    const start = performance.now();
    try {
      const { hash, bytes } = await this.#write(wanted, temporary, idle);
      if (sha256 !== undefined && hash !== sha256) {
        throw new PackageError(`${fileName} has the SHA-256 ${hash}, and not ${sha256} as promised`);
      }
      const wheel = await cache.keepWheel(temporary, { sha256: hash, fileName });
      log.info(`got ${fileName}, ${bytes} bytes in ${Math.round(performance.now() - start)} ms`);
      return wheel;
    } catch (error) {
      throw failure(error, wanted, idle);
    } finally {
      idle.end();
      await rm(temporary, { force: true });
    }
  }

  async #write(wanted: Wanted, path: string, idle: IdleLimit): Promise<{ hash: string; bytes: number }> {
    const { log } = this.#options;
    const hash = createHash("sha256");
    const file = await open(path, "wx", 0o600).catch(notKept);
    let bytes = 0;
    try {
      for await (const piece of await this.#pieces(wanted, idle)) {
        const before = bytes;
        bytes += piece.length;
        this.#take(piece.length, wanted);
        hash.update(piece);
        await file.appendFile(piece).catch(notKept);
        if (Math.floor(bytes / STEP_BYTES) > Math.floor(before / STEP_BYTES))
          log.info(`${wanted.what}: ${bytes} bytes`);
      }
    } finally {
      await file.close();
    }
    return { hash: hash.digest("hex"), bytes };
  }

  #limit(): IdleLimit {
    return new IdleLimit(this.#options.idleMs(), this.#options.ending);
  }

  #take(bytes: number, { what }: Wanted): void {
    const { budget } = this.#options;
    budget.bytes -= bytes;
    if (budget.bytes < 0) throw new PackageError(`${what}: all that is to be downloaded exceeds max-packages-size`);
    if (performance.now() > budget.deadline) throw new PackageError(`${what}: all downloads together take too long`);
  }

  async #pieces(wanted: Wanted, idle: IdleLimit): Promise<AsyncIterable<Buffer>> {
    if (wanted.url.startsWith("file:")) return createReadStream(fileURLToPath(wanted.url)) as AsyncIterable<Buffer>;
    const response = await request(wanted, idle);
    checkStatus(response, wanted);
    return bodyOf(response, idle);
  }
}

/** Ends a request when nothing comes for too long, or the server stops. */
class IdleLimit {
  readonly #controller = new AbortController();
  readonly #ms: number;
  readonly #ending: AbortSignal;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, ending: AbortSignal) {
    this.#ms = ms;
    this.#ending = ending;
    this.progress();
  }

  get signal(): AbortSignal {
    return AbortSignal.any([this.#controller.signal, this.#ending]);
  }

  /** Why it was ended; undefined: it was not. */
  get reason(): string | undefined {
    if (this.#ending.aborted) return "the server stops";
    return this.#controller.signal.aborted
      ? `nothing came for ${this.#ms} ms (PythonInstallReqMaxIdleTime)`
      : undefined;
  }

  progress(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(), this.#ms);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/** Follows redirects itself: a password is meant for one server only. */
async function request({ url, accept = "*/*" }: Wanted, idle: IdleLimit): Promise<Response> {
  let target = url;
  for (let left = MAX_REDIRECTS; ; left--) {
    const { plain, authorization } = splitPassword(target);
    const headers = { accept, ...(authorization !== undefined && { authorization }) };
    const response = await fetch(plain, { headers, signal: idle.signal, redirect: "manual" });
    idle.progress();
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    const next = new URL(location, plain);
    if (left === 0 || !/^https?:$/.test(next.protocol)) throw new PackageError("it leads from one address to the next");
    if (new URL(plain).protocol === "https:" && next.protocol === "http:") {
      throw new PackageError("it leads from https to http");
    }
    target = next.href;
  }
}

/** The address without the user and password that it may have, which go into a header. */
function splitPassword(address: string): { plain: string; authorization: string | undefined } {
  const url = new URL(address);
  const { username, password } = url;
  url.username = "";
  url.password = "";
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization = username === "" ? undefined : `Basic ${Buffer.from(pair).toString("base64")}`;
  return { plain: url.href, authorization };
}

async function* bodyOf(response: Response, idle: IdleLimit): AsyncGenerator<Buffer> {
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    idle.progress();
    yield Buffer.from(piece);
  }
}

function checkStatus({ status }: Response, { what, url }: Wanted): void {
  if (status !== 200) throw new Unreachable(`${what} can not be had: ${hostOf(url)} answers ${status}`);
}

/** What was got can not be written: no other source would help. */
function notKept(error: NodeJS.ErrnoException): never {
  throw new InstallError(`packages can not be kept: ${error.message}`);
}

function failure(error: unknown, { what, url }: Wanted, idle: IdleLimit): PackageError {
  if (error instanceof PackageError) return error;
  if (idle.reason !== undefined) return new Unreachable(`${what} can not be had from ${hostOf(url)}: ${idle.reason}`);
  const { cause, message } = error as Error;
  const reason = cause instanceof Error && cause.message !== "" ? cause.message : message;
  const code = (cause as { code?: unknown } | undefined)?.code;
  return new Unreachable(`${what} can not be had from ${hostOf(url)}: ${reason || code || "it failed"}`);
}

/** The server of an address, or the file: for people, and without passwords. */
const hostOf = (url: string): string => (url.startsWith("file:") ? basename(url) : new URL(url).host);
