/**
 * How the key of an event is read for the record of a KeysReader: docs/spec/python.md, section 10. Here is what is to be asked and
 * what follows from the replies; asking is up to the caller, in whichever thread that is.
 */
import { isUtf8 } from "node:buffer";
import { type Encoded, MarshalWriter } from "./marshal.ts";
import { RespReader } from "./transcode.ts";

type Command = readonly (string | Buffer)[];

/** How the value of a key is read; of a type that is not here it is not. */
export const READ_BY_TYPE: Readonly<Record<string, (key: Buffer) => Command>> = {
  string: (key) => ["GET", key],
  hash: (key) => ["HGETALL", key],
  list: (key) => ["LRANGE", key, "0", "-1"],
};

/** The words of `keyTypes`. */
export const TYPE_NAMES: readonly string[] = ["empty", "string", "hash", "list", "set", "zset", "stream", "module"];
/** Types of the engine; every other one is a module's. */
const TYPES: ReadonlySet<string> = new Set(TYPE_NAMES.slice(1, -1));

/** Guesses from an event what the key is, so that its value is read together with its type. A wrong guess costs a call. */
const GUESS_BY_EVENT: ReadonlyMap<string, string> = new Map([
  ...["set", "incrby", "incrbyfloat", "append", "setrange", "setbit", "expire"].map(
    (name) => [name, "string"] as const,
  ),
  ...["hset", "hincrby", "hincrbyfloat", "hdel"].map((name) => [name, "hash"] as const),
  ...["lpush", "rpush", "lpop", "rpop", "lset", "linsert", "lrem", "ltrim"].map((name) => [name, "list"] as const),
]);

/** The type that a key has at the moment of an event, where the event tells: a later command may have changed it. */
const TYPE_BY_EVENT: ReadonlyMap<string, string> = new Map([
  ...["set", "setrange", "setbit", "append", "incrby", "incrbyfloat", "pfadd"].map((name) => [name, "string"] as const),
  ...["hset", "hincrby", "hincrbyfloat"].map((name) => [name, "hash"] as const),
  ...["lpush", "rpush", "linsert", "lset", "sortstore"].map((name) => [name, "list"] as const),
  ...["lpop", "rpop", "ltrim", "lrem"].map((name) => [name, "list"] as const),
  ...["sadd", "spop", "sinterstore", "sunionstore", "sdiffstore"].map((name) => [name, "set"] as const),
  ...["zadd", "zincr", "zpopmin", "zpopmax"].map((name) => [name, "zset"] as const),
  ...["zinterstore", "zunionstore", "zdiffstore", "zrangestore"].map((name) => [name, "zset"] as const),
  ...["geosearchstore", "georadiusstore"].map((name) => [name, "zset"] as const),
  ...["xadd", "xtrim", "xdel", "xsetid"].map((name) => [name, "stream"] as const),
  ...["del", "expired", "evicted", "keymiss", "rename_from", "move_from"].map((name) => [name, "empty"] as const),
]);

/** Events that Redis tells before it deletes the key that they have emptied. Their type is in {@link TYPE_BY_EVENT}. */
const BEFORE_DELETION = new Set(["lpop", "rpop", "ltrim", "lrem", "spop", "zpopmin", "zpopmax"]);

const EMPTY_LIST = Buffer.from("*0\r\n");

/** A key's type in the words of `keyTypes` at the moment of an event. Undefined: the event does not tell. */
export const typeAt = (event: string): string | undefined => TYPE_BY_EVENT.get(event);

/** A key's type in the words of `keyTypes`. @param type as TYPE answers; undefined: the engine is gone */
export const typeName = (type: string | undefined): string => {
  if (type === undefined || type === "none") return "empty";
  return TYPES.has(type) ? type : "module";
};

/** How records call a type. */
export const shownType = (name: string): string => (name === "stream" ? "unknown" : name);

/** Writes the record of an event whose key is not read. */
export const writeRecord = (out: MarshalWriter, event: string, key: Buffer): MarshalWriter =>
  writeHead(out, event, key).dictEnd();

/** Room for a record without the bytes of key and value. */
export const RECORD_HEAD = 128;

/** The reading of one key: {@link commands} are to be sent and their replies taken, until {@link record} is there. */
export class KeyReading {
  /** What the engine is to be asked next. */
  commands: readonly Command[];
  record: Encoded | undefined;
  readonly #event: string;
  readonly #key: Buffer;
  readonly #atEvent: boolean;
  readonly #guess: string | undefined;
  /** Undefined until the engine has told it. */
  #type: string | undefined;

  /**
   * @param atEvent nothing but the command that caused the event has changed the key: one that it has emptied is read as it
   * was before it was deleted
   */
  constructor(event: string, key: Buffer, atEvent: boolean) {
    this.#event = event;
    this.#key = key;
    this.#atEvent = atEvent;
    this.#guess = GUESS_BY_EVENT.get(event);
    const read = READ_BY_TYPE[this.#guess ?? ""];
    this.commands = read ? [["TYPE", key], read(key)] : [["TYPE", key]];
  }

  /**
   * @param replies stands before the replies to {@link commands}; undefined: the engine is gone
   * @returns how many of the commands have found no key
   */
  take(replies: RespReader | undefined): number {
    if (this.#type !== undefined) return this.#takeValue(this.#type, replies);
    const type = typeName(replies?.line());
    this.#type = type;
    const misses = type === "empty" && replies ? this.commands.length : 0;
    const read = READ_BY_TYPE[type];
    if (this.#atEvent && type === "empty" && BEFORE_DELETION.has(this.#event)) this.#takeEmptied();
    else if (type === this.#guess || !read) this.#finish(type, type === this.#guess ? replies : undefined);
    else this.commands = [read(this.#key)];
    return misses;
  }

  #takeValue(type: string, value: RespReader | undefined): number {
    const isGone = value !== undefined && !value.isError && (value.isNil || value.isEmptyArray);
    this.#finish(type, value);
    return isGone ? 1 : 0;
  }

  /** A key that lost its last element and was not deleted yet. */
  #takeEmptied(): void {
    const type = typeAt(this.#event) as string;
    this.#finish(type, type === "list" ? new RespReader(EMPTY_LIST) : undefined);
  }

  /** @param value the reply with the value; an error means that the key changed in between: then there is none */
  #finish(type: string, value: RespReader | undefined): void {
    const out = writeHead(new MarshalWriter(RECORD_HEAD + this.#key.length), this.#event, this.#key)
      .text("type")
      .text(shownType(type))
      .text("value");
    if (!value || value.isError) out.none();
    else if (type === "hash") value.transcodePairs(out);
    else value.transcode(out);
    this.record = out.dictEnd().valueFrom(0);
  }
}

function writeHead(out: MarshalWriter, event: string, key: Buffer): MarshalWriter {
  out.dict().text("event").text(event).text("key");
  return isUtf8(key) ? out.textBytes(key, 0, key.length) : out.bytes(key);
}
