/**
 * The file of the engine's WebAssembly, rewritten in memory: functions of Valkey that the file only has inside are exported,
 * so that they can be called. Everything else stays byte for byte.
 *
 * The file says in its name section (https://webassembly.github.io/spec/core/appendix/custom.html) which function has which
 * name. A section is its kind, its length and its bytes; numbers are LEB128.
 */

const HEADER_BYTES = 8;
const CUSTOM = 0;
const EXPORT = 7;
/** Of the parts of the name section. */
const FUNCTION_NAMES = 1;
/** The kind of an export. */
const FUNCTION = 0;

interface Section {
  readonly id: number;
  readonly body: Uint8Array;
}

/**
 * @param file the module as it was shipped
 * @param names of the functions to export under their own names
 * @returns the module with these exports; undefined when the file has no function of one of these names
 */
export function withExports(file: Uint8Array, names: readonly string[]): Uint8Array | undefined {
  const sections = sectionsOf(file);
  const known = functionNames(sections);
  const added: number[] = [];
  for (const name of names) {
    const index = known.get(name);
    if (index === undefined) return undefined;
    added.push(...text(name), FUNCTION, ...number(index));
  }
  const parts: Uint8Array[] = [file.subarray(0, HEADER_BYTES)];
  for (const { id, body } of sections) {
    if (id === CUSTOM && new Reader(body).text() !== "name") continue;
    parts.push(section(id, id === EXPORT ? moreExports(body, names.length, added) : body));
  }
  return Buffer.concat(parts);
}

function moreExports(body: Uint8Array, count: number, added: readonly number[]): Uint8Array {
  const reader = new Reader(body);
  const before = reader.number();
  return Buffer.concat([Buffer.from(number(before + count)), body.subarray(reader.at), Buffer.from(added)]);
}

function sectionsOf(file: Uint8Array): Section[] {
  const reader = new Reader(file, HEADER_BYTES);
  const sections: Section[] = [];
  while (reader.hasMore) {
    const id = reader.byte();
    sections.push({ id, body: reader.bytes(reader.number()) });
  }
  return sections;
}

/** Indices of the functions by their names; of functions that share a name, the last one's. */
function functionNames(sections: readonly Section[]): Map<string, number> {
  const names = new Map<string, number>();
  for (const { id, body } of sections) {
    const reader = new Reader(body);
    if (id !== CUSTOM || reader.text() !== "name") continue;
    while (reader.hasMore) {
      const kind = reader.byte();
      const part = new Reader(reader.bytes(reader.number()));
      if (kind !== FUNCTION_NAMES) continue;
      for (let left = part.number(); left > 0; left--) {
        const index = part.number();
        names.set(part.text(), index);
      }
    }
  }
  return names;
}

class Reader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get hasMore(): boolean {
    return this.at < this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new RangeError("the module ends too early");
    return byte;
  }

  /** An unsigned LEB128 number. */
  number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  bytes(length: number): Uint8Array {
    if (length > this.#bytes.length - this.at) throw new RangeError("the module ends too early");
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  text(): string {
    return Buffer.from(this.bytes(this.number())).toString();
  }
}

/** An unsigned number as LEB128. */
function number(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  bytes.push(left);
  return bytes;
}

const text = (value: string): number[] => [...number(Buffer.byteLength(value)), ...Buffer.from(value)];

const section = (id: number, body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([id, ...number(body.length)]), body]);
