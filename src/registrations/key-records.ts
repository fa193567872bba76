/** Reads a key for a KeysReader's filter and record: docs/spec/python.md, section 10. */
import { encodeCommand, encodeCommands } from "../engine/engine-client.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { KeyReading, RECORD_HEAD, typeName, writeRecord } from "../python/key-reading.ts";
import { type Encoded, MarshalWriter } from "../python/marshal.ts";
import type { EngineCalls } from "./engine-calls.ts";
import type { OwnMisses } from "./own-misses.ts";

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
   * @param options.atEvent see {@link KeyReading}
   */
  record(
    event: string,
    key: Buffer,
    { readValue, atEvent }: { readonly readValue: boolean; readonly atEvent: boolean },
  ): Maybe<Encoded> {
    if (readValue) return this.#read(key, new KeyReading(event, key, atEvent));
    return writeRecord(new MarshalWriter(RECORD_HEAD + key.length), event, key).valueFrom(0);
  }

  #read(key: Buffer, reading: KeyReading): Maybe<Encoded> {
    const { commands } = reading;
    const token = this.#misses.expect(key, commands.length);
    return andThen(this.#calls.ask(encodeCommands(commands), commands.length), (replies) => {
      token.settle(reading.take(replies));
      return reading.record ?? this.#read(key, reading);
    });
  }
}
