/** Reads a key for a KeysReader's filter and record: docs/spec/python.md, section 10. */
import { isUtf8 } from "node:buffer";
import { encodeCommand, encodeCommands } from "../engine/engine-client.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { type Encoded, MarshalWriter } from "../python/marshal.ts";
import { RespReader } from "../python/transcode.ts";
import type { EngineCalls } from "./engine-calls.ts";
import type { OwnMisses } from "./own-misses.ts";

type ValueCommand = (key: Buffer) => (string | Buffer)[];

const READ_BY_TYPE: Readonly<Record<string, ValueCommand>> = {
  string: (key) => ["GET", key],
  hash: (key) => ["HGETALL", key],
  list: (key) => ["LRANGE", key, "0", "-1"],
};

/** Types of the engine; every other one is a module's. */
const TYPES = new Set(["string", "hash", "list", "set", "zset", "stream"]);

/** Guesses from an event what the key is, so that its value is read together with its type. A wrong guess costs a call. */
const GUESS_BY_EVENT: Readonly<Record<string, string>> = Object.fromEntries([
  ...["set", "incrby", "incrbyfloat", "append", "setrange", "setbit", "expire"].map((name) => [name, "string"]),
  ...["hset", "hincrby", "hincrbyfloat", "hdel"].map((name) => [name, "hash"]),
  ...["lpush", "rpush", "lpop", "rpop", "lset", "linsert", "lrem", "ltrim"].map((name) => [name, "list"]),
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

export class KeyRecords {
  readonly #calls: EngineCalls;
  readonly #misses: OwnMisses;

  constructor(calls: EngineCalls, misses: OwnMisses) {
    this.#calls = calls;
    this.#misses = misses;
  }

  /** Gives the key's type in the words of `keyTypes`. */
  type(key: Buffer): Maybe<string> {
    const token = this.#misses.expect(key, 1);
    return andThen(this.#calls.ask(encodeCommand(["TYPE", key])), (reply) => {
      const type = typeName(reply?.line());
      token.settle(type === "empty" ? 1 : 0);
      return type;
    });
  }

  /**
   * Gives the record of an event, encoded.
   * @param options.atEvent nothing but the command that caused the event has changed the key: one that it has emptied is
   * read as it was before it was deleted
   */
  record(
    event: string,
    key: Buffer,
    { readValue, atEvent }: { readonly readValue: boolean; readonly atEvent: boolean },
  ): Maybe<Encoded> {
    if (!readValue) return head(event, key).dictEnd().valueFrom(0);
    const guess = GUESS_BY_EVENT[event];
    const guessed = guess === undefined ? [] : [(READ_BY_TYPE[guess] as ValueCommand)(key)];
    const commands = [["TYPE", key], ...guessed];
    const token = this.#misses.expect(key, commands.length);
    return andThen(this.#calls.ask(encodeCommands(commands), commands.length), (reply) => {
      const type = typeName(reply?.line());
      token.settle(type === "empty" && reply ? commands.length : 0);
      const read = READ_BY_TYPE[type];
      if (atEvent && type === "empty" && BEFORE_DELETION.has(event)) return emptied(event, key);
      if (type === guess || !read) return finish(event, key, type, type === guess ? reply : undefined);
      return this.#value(event, key, type, read);
    });
  }

  #value(event: string, key: Buffer, type: string, read: ValueCommand): Maybe<Encoded> {
    const token = this.#misses.expect(key, 1);
    return andThen(this.#calls.ask(encodeCommand(read(key))), (reply) => {
      const gone = reply !== undefined && !reply.isError && isEmpty(reply);
      token.settle(gone ? 1 : 0);
      return finish(event, key, type, reply);
    });
  }
}

const typeName = (type: string | undefined): string => {
  if (type === undefined || type === "none") return "empty";
  return TYPES.has(type) ? type : "module";
};

const isEmpty = (reply: RespReader): boolean => {
  const { source, at } = reply;
  return reply.isNil || (reply.type === 0x2a && source[at + 1] === 0x30);
};

/** A key that lost its last element and was not deleted yet. */
function emptied(event: string, key: Buffer): Encoded {
  const type = typeAt(event) as string;
  return finish(event, key, type, type === "list" ? new RespReader(EMPTY_LIST) : undefined);
}

const head = (event: string, key: Buffer): MarshalWriter => {
  const out = new MarshalWriter(128 + key.length).dict().text("event").text(event).text("key");
  return isUtf8(key) ? out.textBytes(key, 0, key.length) : out.bytes(key);
};

/** @param value the reply with the value; an error means that the key changed in between: then there is none */
function finish(event: string, key: Buffer, type: string, value: RespReader | undefined): Encoded {
  const out = head(event, key)
    .text("type")
    .text(type === "stream" ? "unknown" : type)
    .text("value");
  if (!value || value.isError) out.none();
  else if (type === "hash") value.transcodePairs(out);
  else value.transcode(out);
  return out.dictEnd().valueFrom(0);
}
