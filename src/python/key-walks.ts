/** Walks over the keys that flows read: each belongs to an interpreter, ends with its job, and has a cursor by which it is named. */
import type { Path } from "../commands/path.ts";
import type { UserRights } from "../engine/user-rights.ts";
import { ReplyError } from "../errors.ts";
import type { Job } from "./job.ts";
import { MarshalWriter } from "./marshal.ts";
import { BadMessage } from "./messages.ts";
import { ReplyStatus } from "./protocol.ts";
import type { Asking, PythonCommands } from "./python-commands.ts";
import type { CallContext, CallReply } from "./python-host.ts";
import { type KeyBatch, KeyScan } from "./key-scan.ts";

interface KeyWalksOptions {
  readonly commands: Pick<PythonCommands, "ask" | "watched">;
  readonly path: Pick<Path, "refusal">;
  readonly rights: Pick<UserRights, "isFree" | "mayRead">;
}

interface Walk {
  readonly home: object;
  /** The job that it ends with. */
  readonly job: Job | undefined;
  readonly scan: KeyScan;
  /** Its next batch was asked for. */
  reading: boolean;
}

/** What is to be read. */
export interface WalkRequest {
  readonly pattern: Buffer;
  readonly noScan: boolean;
  readonly readValue: boolean;
}

/** Walks that an interpreter may have begun at a time: one for each execution that reads, and waits meanwhile. */
const MAX_WALKS = 1_000;
/** How many of them read their next batch before it is asked for. */
const MAX_READING_AHEAD = 4;
/** Milliseconds until it is looked again whether an interpreter has taken its answers. */
const LOOK_AGAIN_MS = 5;
const SCAN = ["SCAN", "0"].map((word) => Buffer.from(word));

export class KeyWalks {
  readonly #options: KeyWalksOptions;
  /** By cursor. */
  readonly #walks = new Map<number, Walk>();
  #lastCursor = 0;
  /** A batch of keys was read in this turn of the event loop. */
  #hasRead = false;

  constructor(options: KeyWalksOptions) {
    this.#options = options;
  }

  /** Begins one. @returns its first batch, with its cursor */
  async open(asking: Asking, request: WalkRequest): Promise<CallReply> {
    const { commands, path, rights } = this.#options;
    const { caller, job } = asking;
    const { home, user = "" } = caller;
    if (this.#ofHome(home).length >= MAX_WALKS)
      throw new ReplyError(`ERR ${MAX_WALKS} executions read keys in this interpreter: no more may begin to`);
    const free = await commands.watched(job, rights.isFree(user));
    const refused = free ? undefined : await path.refusal({ kind: "python", user }, SCAN);
    if (refused !== undefined) throw new ReplyError(refused);
    if (job?.place === "ended" || caller.isGone) throw new ReplyError("the execution has ended");
    const call = async (bytes: Buffer, replies: number): Promise<Buffer> => commands.ask(asking, bytes, replies);
    const scan = new KeyScan(call, {
      ...request,
      // it is kept, and the message is not
      pattern: Buffer.from(request.pattern),
      mayRead: free ? undefined : async (key) => rights.mayRead(user, key),
      mayReadAhead: () => this.#ofHome(home).filter((walk) => walk.scan.isAhead).length < MAX_READING_AHEAD,
      turn: () => this.#turnToRead(caller),
    });
    const cursor = ++this.#lastCursor;
    this.#walks.set(cursor, { home, job, scan, reading: false });
    return this.next(home, cursor);
  }

  /** Reads the next batch. @throws BadMessage for a cursor that is none of this interpreter's */
  async next(home: object, cursor: number): Promise<CallReply> {
    const walk = this.#find(home, cursor);
    if (!walk) throw new ReplyError("no such reader");
    if (walk.reading) throw new BadMessage(`cursor ${cursor} is asked twice at a time`);
    walk.reading = true;
    try {
      const batch = await walk.scan.next();
      if (!batch.more) this.close(home, cursor);
      return keysReply(cursor, batch);
    } finally {
      walk.reading = false;
    }
  }

  /** Nobody reads on. @throws BadMessage for a cursor that is none of this interpreter's */
  close(home: object, cursor: number): void {
    this.#find(home, cursor)?.scan.close();
    this.#walks.delete(cursor);
  }

  /** A job has ended, and what it reads with it. */
  onJobEnd(job: Job): void {
    for (const [cursor, walk] of this.#walks) if (walk.job === job) this.close(walk.home, cursor);
  }

  /** An interpreter is gone. */
  onGone(home: object): void {
    for (const [cursor, walk] of this.#walks) if (walk.home === home) this.close(home, cursor);
  }

  #ofHome(home: object): Walk[] {
    return [...this.#walks.values()].filter((walk) => walk.home === home);
  }

  /** An interpreter may still name what has ended. @throws BadMessage for another's cursor, or none that was ever given out */
  #find(home: object, cursor: number): Walk | undefined {
    const walk = this.#walks.get(cursor);
    if (cursor > this.#lastCursor || (walk && walk.home !== home))
      throw new BadMessage(`cursor ${cursor} is none of this interpreter's`);
    return walk;
  }

  /**
   * One batch of keys in a turn of the event loop, for the engine in this process answers at once; and none for an interpreter
   * that does not take its answers.
   * @returns undefined when it may be read now
   */
  #turnToRead(caller: CallContext): Promise<void> | undefined {
    if (!this.#hasRead && caller.mayAnswer !== false) {
      this.#hasRead = true;
      setImmediate(() => {
        this.#hasRead = false;
      });
      return undefined;
    }
    return new Promise<void>((resolve) => {
      if (caller.mayAnswer === false) setTimeout(resolve, LOOK_AGAIN_MS);
      else setImmediate(resolve);
    }).then(() => (caller.isGone ? undefined : this.#turnToRead(caller)));
  }
}

function keysReply(cursor: number, batch: KeyBatch): CallReply {
  const size = batch.keys.length + (batch.values?.length ?? 0) + 64;
  const out = new MarshalWriter(size).list(5).int(cursor).bool(batch.more).append(batch.keys);
  if (batch.types) out.append(batch.types);
  else out.none();
  if (batch.values) out.append(batch.values);
  else out.none();
  return { status: batch.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}
