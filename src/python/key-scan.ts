/**
 * The KeysReader's side of the engine: walks over the key space and reads types and values in batches, a few round trips
 * for a thousand keys. What a key's record holds: docs/spec/python.md, section 10.
 */
import { isUtf8 } from "node:buffer";
import { encodeCommand, encodeCommands } from "../engine/encode.ts";
import { InternalError } from "../errors.ts";
import { READ_BY_TYPE, shownType, typeName } from "./key-reading.ts";
import { MarshalWriter } from "./marshal.ts";
import { RespReader } from "./transcode.ts";

/** Sends encoded commands and gives the bytes of exactly that many replies (RESP2). */
export type RawCall = (command: Buffer, replies: number) => Promise<Buffer>;

interface KeyScanOptions {
  /** Glob pattern, or the literal key's name with `noScan`. */
  readonly pattern: Buffer;
  /** One record for the literal name, whether the key exists or not. */
  readonly noScan: boolean;
  /** Read type and value too. */
  readonly readValue: boolean;
  /** Keys that may not be read have no records; undefined: all may. */
  readonly mayRead?: ((key: Buffer) => Promise<boolean>) | undefined;
  /** May the next batch be read before it is asked for? Undefined: always. */
  readonly mayReadAhead?: () => boolean;
  /** Awaited before each batch is read; undefined: nothing to wait for. */
  readonly turn?: () => Promise<void> | undefined;
}

/** One batch of records in columns. */
export interface KeyBatch {
  readonly count: number;
  readonly keys: MarshalWriter;
  /** Undefined when every key is a string, or when values are not read. */
  readonly types: MarshalWriter | undefined;
  /** Undefined when values are not read. */
  readonly values: MarshalWriter | undefined;
  /** Some key or value is not UTF-8 and was written as bytes. */
  readonly wroteBytes: boolean;
  /** False with the last batch. */
  readonly more: boolean;
}

/** Most keys asked for by one SCAN. A batch keeps the engine busy for 3 ms or so: other clients must get in between. */
const SCAN_COUNT = 1_000;
/** How many the first one asks for, when nobody knows yet how long names and values are. */
const FIRST_COUNT = 32;
/** Bytes that the engine is to answer for one batch: if it was more, less keys are asked for, and the other way round. */
const BATCH_BYTES = 2 * 1024 * 1024;
/** Number of keys by which a batch may be larger than the one before. */
const GROWTH = 4;

const GLOB = /[*?[\\]/;

/** A walk over the keys of database 0. Create, call `next` until `more` is false, or `close` early. */
export class KeyScan {
  readonly #ask: RawCall;
  readonly #options: KeyScanOptions;
  #count = FIRST_COUNT;
  /** Bytes that the engine has answered for the batch that is being read. */
  #answered = 0;
  #cursor: Buffer | undefined = Buffer.from("0");
  #ahead: Promise<KeyBatch> | undefined;
  #closed = false;
  /** What most keys of the last batch were: the batch's first question to the engine is asked for that type. */
  #expected: "string" | "hash" = "string";

  constructor(call: RawCall, options: KeyScanOptions) {
    this.#ask = call;
    this.#options = options;
  }

  /** Has it read its next batch, or does it, before that is asked for? */
  get isAhead(): boolean {
    return this.#ahead !== undefined;
  }

  /** The next batch; the one after it is already being read when this resolves. @throws InternalError when the engine fails. */
  async next(): Promise<KeyBatch> {
    const batch = await (this.#ahead ?? this.#read());
    this.#ahead = undefined;
    if (batch.more && !this.#closed && (this.#options.mayReadAhead?.() ?? true)) {
      this.#ahead = this.#read();
      // a failure is reported by the next call of next(), if there is one
      this.#ahead.catch(() => {});
    }
    return batch;
  }

  /** Nobody will ask for more. */
  close(): void {
    this.#closed = true;
    this.#ahead = undefined;
  }

  async #call(command: Buffer, replies: number): Promise<Buffer> {
    const answer = await this.#ask(command, replies);
    this.#answered += answer.length;
    return answer;
  }

  async #read(): Promise<KeyBatch> {
    const { pattern, noScan, readValue, turn } = this.#options;
    const wait = turn?.();
    if (wait) await wait;
    if (noScan || !GLOB.test(pattern.toString("latin1"))) {
      this.#cursor = undefined;
      return this.#readLiteral(pattern, noScan);
    }
    while (this.#cursor !== undefined && !this.#closed) {
      this.#answered = 0;
      const reply = new RespReader(
        await this.#call(encodeCommand(["SCAN", this.#cursor, "MATCH", pattern, "COUNT", String(this.#count)]), 1),
      );
      if (reply.isError) throw new InternalError(`SCAN failed: ${reply.line()}`);
      reply.arrayLength();
      const cursor = reply.bulk();
      this.#cursor =
        cursor === undefined || (cursor.length === 1 && cursor[0] === 48) ? undefined : Buffer.from(cursor);
      const found = reply.arrayLength();
      const listed = new RespReader(reply.source, reply.at);
      const { keys, count } = await this.#readable(listed, found);
      const batch = count === 0 || !readValue ? this.#keysOnly(keys, count) : await this.#withValues(keys, count);
      const factor = Math.min(GROWTH, BATCH_BYTES / (this.#answered + 1));
      this.#count = Math.min(SCAN_COUNT, Math.max(1, Math.floor(this.#count * factor)));
      if (batch.count > 0) return batch;
    }
    return emptyBatch(readValue);
  }

  /** Leaves out the keys that may not be read. */
  async #readable(keys: RespReader, count: number): Promise<{ keys: RespReader; count: number }> {
    const { mayRead } = this.#options;
    if (!mayRead || count === 0) return { keys, count };
    const names = readNames(keys, count);
    const allowed = await Promise.all(names.map(mayRead));
    const kept = names.filter((_name, at) => allowed[at]);
    const reader = new RespReader(encodeCommand(kept));
    return { keys: reader, count: reader.arrayLength() };
  }

  #keysOnly(keys: RespReader, count: number): KeyBatch {
    const column = new MarshalWriter(keys.end - keys.at + 16).list(count);
    for (let i = 0; i < count; i++) keys.transcode(column);
    return {
      count,
      keys: column,
      types: undefined,
      values: undefined,
      wroteBytes: keys.wroteBytes,
      more: this.#cursor !== undefined,
    };
  }

  /** A pattern without any glob character names one key: no need to walk. */
  async #readLiteral(name: Buffer, evenIfMissing: boolean): Promise<KeyBatch> {
    if ((await this.#options.mayRead?.(name)) === false) return emptyBatch(this.#options.readValue);
    const entries = await this.#inspect([name]);
    const entry = entries[0];
    if (entry === undefined && !evenIfMissing) return emptyBatch(this.#options.readValue);
    const batch = columns([name], [entry ?? { type: "empty" }], false);
    return this.#options.readValue ? batch : { ...batch, types: undefined, values: undefined };
  }

  /** Reads types and values. The keys stand in `keys` as bulks, which is just how a command wants its arguments. */
  async #withValues(keys: RespReader, count: number): Promise<KeyBatch> {
    const start = keys.at;
    const type = this.#expected;
    const replies =
      type === "string"
        ? await this.#call(mget(keys.source.subarray(start, keys.end), count), 1)
        : await this.#call(hgetallEach(keys, count), count);
    const reader = new RespReader(replies);
    if (type === "string" && reader.isError) throw new InternalError(`MGET failed: ${reader.line()}`);
    keys.at = start;
    const batch = this.#allOfOneType(keys, count, reader, type);
    if (batch) return batch;
    keys.at = start;
    const again = new RespReader(replies);
    if (type === "string") again.arrayLength();
    return this.#mixed(keys, count, () => {
      if (isAnswer(again, type)) return entryAt(again, type);
      skip(again);
      return undefined;
    });
  }

  /** The fast path: every key is of the expected type, so the columns are written in one go. Undefined when one is not. */
  #allOfOneType(keys: RespReader, count: number, reply: RespReader, type: "string" | "hash"): KeyBatch | undefined {
    const values = new MarshalWriter(reply.source.length + (reply.source.length >> 1) + 16).list(count);
    if (type === "string") reply.arrayLength();
    for (let i = 0; i < count; i++) {
      if (!isAnswer(reply, type)) return undefined;
      if (type === "string") reply.transcode(values);
      else reply.transcodePairs(values);
    }
    const column = new MarshalWriter(keys.end - keys.at + 16).list(count);
    for (let i = 0; i < count; i++) keys.transcode(column);
    let types: MarshalWriter | undefined;
    if (type !== "string") {
      types = new MarshalWriter(count * 12).list(count);
      for (let i = 0; i < count; i++) types.textBytes(HASH, 0, HASH.length);
    }
    return {
      count,
      keys: column,
      types,
      values,
      wroteBytes: keys.wroteBytes || reply.wroteBytes,
      more: this.#cursor !== undefined,
    };
  }

  /** Takes what the first question found and asks again for the keys it did not answer. */
  async #mixed(keys: RespReader, count: number, nextEntry: () => Entry | undefined): Promise<KeyBatch> {
    const names = readNames(keys, count);
    const entries = names.map(() => nextEntry());
    const open = names.flatMap((name, at) => (entries[at] === undefined ? [{ name, at }] : []));
    if (open.length > 0) {
      const found = await this.#inspect(open.map(({ name }) => name));
      for (const [i, { at }] of open.entries()) entries[at] = found[i];
    }
    const hashes = entries.filter((entry) => entry?.type === "hash").length;
    const strings = entries.filter((entry) => entry?.type === "string").length;
    if (hashes !== strings) this.#expected = hashes > strings ? "hash" : "string";
    // a key that vanished since the SCAN has no record
    const there = entries.flatMap((entry, at) => (entry ? [{ entry, name: names[at] as Buffer }] : []));
    return columns(
      there.map(({ name }) => name),
      there.map(({ entry }) => entry),
      this.#cursor !== undefined,
    );
  }

  /** Asks for the types of keys, then for the values that their types have. Undefined for a missing key. */
  async #inspect(names: readonly Buffer[]): Promise<(Entry | undefined)[]> {
    const types = new RespReader(await this.#call(encodeCommands(names.map((name) => ["TYPE", name])), names.length));
    const kinds = names.map(() => types.line());
    const readable = names.flatMap((name, at) => {
      const read = READ_BY_TYPE[kinds[at] as string];
      return read && this.#options.readValue ? [{ at, bytes: encodeCommand(read(name)) }] : [];
    });
    const entries: (Entry | undefined)[] = kinds.map((kind) =>
      kind === "none" ? undefined : { type: shownType(typeName(kind)) },
    );
    if (readable.length === 0) return entries;
    const values = new RespReader(await this.#call(Buffer.concat(readable.map(({ bytes }) => bytes)), readable.length));
    for (const { at } of readable) {
      // changed in between: the record says what the key was, without a value
      if (values.isError) values.line();
      else entries[at] = entryAt(values, kinds[at] as string);
    }
    return entries;
  }
}

/** What is known of one key: its type and where its value stands in a reply. */
interface Entry {
  readonly type: string;
  readonly value?: { readonly source: Buffer; readonly start: number; readonly end: number };
}

const HASH = Buffer.from("hash");
const HGETALL = Buffer.from("*2\r\n$7\r\nHGETALL\r\n");

/** Did the question for the expected type find a value? A missing key answers nil or an empty hash, another type an error. */
const isAnswer = (reply: RespReader, type: "string" | "hash"): boolean =>
  type === "string" ? !reply.isNil : !reply.isError && !reply.isEmptyArray;

/** One MGET for keys that are encoded already. */
const mget = (rawKeys: Buffer, count: number): Buffer =>
  Buffer.concat([Buffer.from(`*${count + 1}\r\n$4\r\nMGET\r\n`), rawKeys]);

/** A HGETALL for each key. */
function hgetallEach(keys: RespReader, count: number): Buffer {
  const out = Buffer.allocUnsafeSlow(keys.end - keys.at + count * HGETALL.length);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const from = keys.at;
    keys.bulk();
    at += HGETALL.copy(out, at);
    at += keys.source.copy(out, at, from, keys.at);
  }
  return out;
}

const emptyBatch = (withValues: boolean): KeyBatch => ({
  count: 0,
  keys: new MarshalWriter(8).list(0),
  types: undefined,
  values: withValues ? new MarshalWriter(8).list(0) : undefined,
  wroteBytes: false,
  more: false,
});

function entryAt(reply: RespReader, type: string): Entry {
  const start = reply.at;
  skip(reply);
  return { type, value: { source: reply.source, start, end: reply.at } };
}

function skip(reply: RespReader): void {
  if (reply.type !== 0x2a) {
    if (reply.type === 0x24) reply.bulk();
    else reply.line();
    return;
  }
  const length = reply.arrayLength();
  for (let i = 0; i < length; i++) skip(reply);
}

function readNames(keys: RespReader, count: number): Buffer[] {
  const names: Buffer[] = [];
  for (let i = 0; i < count; i++) names.push(keys.bulk() ?? Buffer.alloc(0));
  return names;
}

function columns(names: readonly Buffer[], entries: readonly Entry[], more: boolean): KeyBatch {
  const keys = new MarshalWriter(1024).list(names.length);
  const types = new MarshalWriter(1024).list(names.length);
  const values = new MarshalWriter(4096).list(names.length);
  let wroteBytes = false;
  for (const [at, name] of names.entries()) {
    const entry = entries[at] as Entry;
    const text = isUtf8(name);
    if (text) keys.textBytes(name, 0, name.length);
    else keys.bytes(name);
    types.text(entry.type);
    wroteBytes ||= !text;
    if (!entry.value) {
      values.none();
      continue;
    }
    const reader = new RespReader(entry.value.source, entry.value.start, entry.value.end);
    if (entry.type === "hash") reader.transcodePairs(values);
    else reader.transcode(values);
    wroteBytes ||= reader.wroteBytes;
  }
  return { count: names.length, keys, types, values, wroteBytes, more };
}
