/** Reads a key for a KeysReader's filter and record: python.md, section 10. */
import { encodeCommand, encodeCommands } from "../engine/client.ts";
import { Encoded, MarshalWriter } from "../python/marshal.ts";
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

export class KeyReader {
  readonly #calls: EngineCalls;
  readonly #misses: OwnMisses;

  constructor(calls: EngineCalls, misses: OwnMisses) {
    this.#calls = calls;
    this.#misses = misses;
  }

  /** Gives the key's type in the words of `keyTypes`. */
  type(key: Buffer, done: (type: string) => void): void {
    const token = this.#misses.expect(key, 1);
    this.#calls.run(encodeCommand(["TYPE", key]), 1, (reply) => {
      const type = typeName(reply?.line());
      token.settle(type === "empty" ? 1 : 0);
      done(type);
    });
  }

  /** Gives the record of an event, encoded. */
  record(event: string, key: Buffer, readValue: boolean, done: (record: Encoded) => void): void {
    if (!readValue) {
      done(new Encoded(head(event, key).dictEnd().finish()));
      return;
    }
    const guess = GUESS_BY_EVENT[event];
    const guessed = guess === undefined ? [] : [(READ_BY_TYPE[guess] as ValueCommand)(key)];
    const commands = [["TYPE", key], ...guessed];
    const token = this.#misses.expect(key, commands.length);
    this.#calls.run(encodeCommands(commands), commands.length, (reply) => {
      const type = typeName(reply?.line());
      token.settle(type === "empty" && reply ? commands.length : 0);
      const read = READ_BY_TYPE[type];
      if (type === guess || !read) done(finish(event, key, type, type === guess ? reply : undefined));
      else this.#value(event, key, type, read, done);
    });
  }

  #value(event: string, key: Buffer, type: string, read: ValueCommand, done: (record: Encoded) => void): void {
    const token = this.#misses.expect(key, 1);
    this.#calls.run(encodeCommand(read(key)), 1, (reply) => {
      const gone = reply !== undefined && !reply.isError && isEmpty(reply);
      token.settle(gone ? 1 : 0);
      done(finish(event, key, type, reply));
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

const head = (event: string, key: Buffer): MarshalWriter => {
  const out = new MarshalWriter(128 + key.length).dict().text("event").text(event).text("key");
  new RespReader(Buffer.concat([Buffer.from(`$${key.length}\r\n`), key, Buffer.from("\r\n")])).transcode(out);
  return out;
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
  return new Encoded(out.dictEnd().finish());
}
