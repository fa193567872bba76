/**
 * One server for a directory. Whoever wants it puts up a sign there, a Unix socket that it listens on, and looks for other
 * signs afterwards: of two that come at the same time at least one sees the other. A sign whose owner has died answers
 * nobody, for it is the system that listens: neither a killed server, nor a process that got its number, nor a container
 * with another host name blocks a start. (Windows has pipes instead of sockets in directories, of which there can be only
 * one of a name.)
 *
 * What this can not do: keep two machines apart that share a directory over a network, or servers on a file system that
 * has no sockets; the log tells of the latter.
 */
import { createHash, randomBytes } from "node:crypto";
import { connect, createServer, type Server } from "node:net";
import { hostname } from "node:os";
import { join, relative, resolve } from "node:path";
import { InternalError, textOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import { codeOf, DISK, type FileSystem } from "./disk.ts";

const SIGN = "regears.lock-";
/** What file systems answer that have no sockets, and what we say when the path is too long for one. */
const WITHOUT_SOCKETS = new Set(["ENOTSUP", "EOPNOTSUPP", "EINVAL", "EPERM", "ENOSYS", "ENAMETOOLONG"]);
/** Milliseconds that an owner has to say who it is; what it says is for people only. */
const PATIENCE_MS = 1_000;
/** Bytes that the path of a socket may have, on the system that allows least. */
const LONGEST_PATH = 103;
/** Servers that start at the same time make way for each other so often. */
const ATTEMPTS = 20;

interface DirectoryLockOptions {
  readonly directory: string;
  readonly log: Pick<Logger, "warn">;
  readonly disk?: FileSystem;
}

/** Another server has the directory. */
export class DirectoryInUse extends InternalError {}

interface Owner {
  readonly text: string;
  /** It has looked for others, and found none. */
  readonly holds: boolean;
}

export class DirectoryLock {
  readonly #options: DirectoryLockOptions;
  readonly #disk: FileSystem;
  #sign: Server | undefined;
  /** Where the sign is. */
  #path: string | undefined;
  #holds = false;
  #taking: Promise<void> | undefined;

  constructor(options: DirectoryLockOptions) {
    this.#options = options;
    this.#disk = options.disk ?? DISK;
  }

  /**
   * Takes the directory, unless it is taken already by this lock, and its sign still there: somebody who has removed that
   * may have let another server in. To be called before anything is written there.
   * @throws DirectoryInUse with a text that says who has it; what the file system throws
   */
  take(): Promise<void> {
    this.#taking ??= this.#takeUnlessHeld().finally(() => {
      this.#taking = undefined;
    });
    return this.#taking;
  }

  release(): void {
    this.#holds = false;
    this.#sign?.close();
    this.#sign = undefined;
    this.#path = undefined;
  }

  async #takeUnlessHeld(): Promise<void> {
    if (this.#holds && (await this.#isShown())) return;
    this.release();
    await this.#take();
  }

  async #isShown(): Promise<boolean> {
    if (this.#path === undefined) return true;
    try {
      await this.#disk.stat(this.#path);
      return true;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    }
  }

  async #take(): Promise<void> {
    const { directory, log } = this.#options;
    await this.#disk.mkdir(directory, { recursive: true });
    if (process.platform === "win32") return this.#takePipe();
    for (let attempt = 1; ; attempt++) {
      const name = `${SIGN}${process.pid}-${randomBytes(6).toString("hex")}`;
      try {
        await this.#putUp(shorter(join(directory, name)));
      } catch (error) {
        if (!WITHOUT_SOCKETS.has(codeOf(error) ?? "")) throw error;
        log.warn(`a second server that is started in ${directory} by mistake would not be noticed: ${textOf(error)}`);
        this.#holds = true;
        return;
      }
      const other = await this.#findOther(name).catch((error: unknown) => {
        this.release();
        throw error;
      });
      if (!other) {
        this.#holds = true;
        return;
      }
      this.release();
      if (other.holds || attempt === ATTEMPTS) throw inUse(directory, other.text);
      await new Promise((wake) => setTimeout(wake, 10 + Math.random() * 40));
    }
  }

  async #takePipe(): Promise<void> {
    const path = resolve(this.#options.directory);
    const pipe = `\\\\.\\pipe\\regears-${createHash("sha256").update(path.toLowerCase()).digest("hex")}`;
    try {
      await this.#putUp(pipe);
    } catch (error) {
      if (codeOf(error) !== "EADDRINUSE") throw error;
      throw inUse(path, (await ownerOf(pipe))?.text ?? "another process");
    }
    this.#holds = true;
  }

  /** From now on others see it. */
  async #putUp(path: string): Promise<void> {
    // The system would take as much of the name as it can.
    if (process.platform !== "win32" && Buffer.byteLength(path) > LONGEST_PATH) {
      throw Object.assign(new Error(`the path is too long for a socket: ${path}`), { code: "ENAMETOOLONG" });
    }
    const sign = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(`${this.#holds ? "holds" : "wants"} process ${process.pid} on ${hostname()}\n`);
    });
    await new Promise<void>((done, fail) => {
      sign.once("error", fail);
      // Whoever comes must be able to ask, whatever user it runs as.
      sign.listen({ path, exclusive: true, writableAll: true }, () => {
        sign.unref();
        this.#sign = sign;
        if (process.platform !== "win32") this.#path = path;
        done();
      });
    });
  }

  /** Another server that lives; the signs of dead ones are removed when there is none. */
  async #findOther(own: string): Promise<Owner | undefined> {
    const { directory } = this.#options;
    const dead: string[] = [];
    let isThere = false;
    for (const name of await this.#disk.readdir(directory)) {
      if (name === own) isThere = true;
      if (!name.startsWith(SIGN) || name === own) continue;
      const path = join(directory, name);
      const owner = await ownerOf(shorter(path));
      if (owner) return { ...owner, text: owner.text || `process ${/^\d+/.exec(name.slice(SIGN.length))?.[0]}` };
      dead.push(path);
    }
    // One that had just taken the directory, and saw ours before it listened to anybody, has removed it.
    if (!isThere) return { text: "another process", holds: false };
    for (const path of dead) await this.#disk.rm(path, { force: true }).catch(() => {});
    return undefined;
  }
}

/** Who listens there; undefined when nobody does. */
function ownerOf(path: string): Promise<Owner | undefined> {
  return new Promise((done) => {
    let said = "";
    const socket = connect({ path });
    const finish = (owner: Owner | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      done(owner);
    };
    const answer = (): void => finish({ text: said.trim().replace(/^\w+ /, ""), holds: !said.startsWith("wants") });
    const timer = setTimeout(answer, PATIENCE_MS);
    socket.on("data", (bytes) => {
      said += bytes;
    });
    socket.once("end", answer);
    // Nobody listens, it is no socket, or it has just gone. Whom we may not ask is there.
    socket.once("error", (error) =>
      codeOf(error) === "EACCES" || codeOf(error) === "EAGAIN" ? answer() : finish(undefined),
    );
  });
}

const inUse = (directory: string, owner: string): DirectoryInUse =>
  new DirectoryInUse(`the directory '${resolve(directory)}' is in use by another server, ${owner}`);

/** From the working directory: the command line's server is in its `dir`. */
function shorter(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.length < path.length ? fromHere : path;
}
