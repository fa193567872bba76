/**
 * Reads a file of WebAssembly: its sections, and the names that the name section gives to functions
 * (https://webassembly.github.io/spec/core/appendix/custom.html). A section is its kind, its length and its bytes; numbers
 * are LEB128.
 */

export const HEADER_BYTES = 8;
/** Kinds of sections. */
export const SECTION = { custom: 0, import: 2, memory: 5, export: 7, code: 10, data: 11, dataCount: 12 } as const;
/** The kind of the part of the name section that names functions. */
const FUNCTION_NAMES = 1;

export interface Section {
  readonly id: number;
  readonly body: Uint8Array;
}

export function sectionsOf(file: Uint8Array): Section[] {
  const reader = new Reader(file, HEADER_BYTES);
  const sections: Section[] = [];
  while (reader.hasMore) {
    const id = reader.byte();
    sections.push({ id, body: reader.bytes(reader.number()) });
  }
  return sections;
}

/** The body of the section of a kind. @throws Error when there is none */
export function bodyOf(sections: readonly Section[], id: number): Uint8Array {
  const found = sections.find((section) => section.id === id);
  if (found === undefined) throw new Error(`the module has no section ${id}`);
  return found.body;
}

/** Indices of the functions by their names; of functions that share a name, the last one's. */
export function functionNames(sections: readonly Section[]): Map<string, number> {
  const names = new Map<string, number>();
  for (const { id, body } of sections) {
    const reader = new Reader(body);
    if (id !== SECTION.custom || reader.text() !== "name") continue;
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

/** Kinds of imports. */
const [FUNCTION, TABLE, MEMORY, GLOBAL] = [0, 1, 2, 3];

/** How many functions are imported; they are counted before the others. @param imports the section of imports */
export function importedFunctions(imports: Reader): number {
  let functions = 0;
  for (let left = imports.number(); left > 0; left--) {
    imports.text();
    imports.text();
    const kind = imports.byte();
    if (kind === FUNCTION) functions++;
    if (kind === TABLE) imports.byte();
    if (kind === TABLE || kind === MEMORY) {
      if ((imports.byte() & 1) === 1) imports.number();
      imports.number();
    } else if (kind === GLOBAL) imports.bytes(2);
    else if (kind === FUNCTION) imports.number();
    else imports.bytes(2); // the tag of an exception
  }
  return functions;
}

export class Reader {
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

  /** A signed LEB128 number of 32 bits, which here is never below zero. */
  signed(): number {
    const value = this.number();
    if (value >= 2 ** 31) throw new RangeError("a number below zero");
    return value;
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
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  bytes.push(left);
  return bytes;
}
