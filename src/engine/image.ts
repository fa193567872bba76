/**
 * The file of the engine's WebAssembly, rewritten in memory. Functions of Valkey that the file does not export are exported, so
 * that they can be called, and some functions get the host's bodies (see `valkey-hooks.ts`). The build has done that, and small
 * functions inlined, if there is a file of {@link inlinedImage}. The memory becomes one that the module
 * imports and that several threads share. Then the data that the file brings are taken out, since each thread's instance would
 * write them into that memory anew. Everything else stays byte for byte: V8 takes plain loads and stores for shared memory.
 */
import { withHooks } from "./valkey-hooks.ts";
import {
  bodyOf,
  functionNames,
  HEADER_BYTES,
  Reader,
  SECTION,
  type Section,
  sectionsOf,
  unsigned,
} from "./wasm-file.ts";

/** Kind and flags of an imported memory that is shared and has a maximum. */
const SHARED_MEMORY = [2, 3];
/** A data segment for the memory at an address that is a constant. */
const ACTIVE = 0;
const I32_CONST = 0x41;
const END = 0x0b;
/** The kind of an export. */
const FUNCTION = 0;

/** A part of the memory's first contents. */
interface Segment {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** A module whose memory is imported as `env.memory`. */
export interface SharedImage {
  readonly file: Uint8Array;
  /** To be copied into the memory, once. */
  readonly segments: readonly Segment[];
  /** The size that the module's memory begins with, in pages. */
  readonly pages: number;
}

/**
 * @param file the module as it was shipped
 * @param names of the functions to export under their own names
 * @returns the module with these exports; undefined when the file has no function of one of these names
 */
export function withExports(file: Uint8Array, names: readonly string[]): Uint8Array | undefined {
  const given = sectionsOf(file);
  const sections = withHooks(given) ?? given;
  const known = functionNames(sections);
  const added: number[] = [];
  for (const name of names) {
    const index = known.get(name);
    if (index === undefined) return undefined;
    added.push(...text(name), FUNCTION, ...unsigned(index));
  }
  const kept = sections.filter(({ id, body }) => id !== SECTION.custom || new Reader(body).text() === "name");
  return joined(
    file,
    kept.map(({ id, body }) => ({ id, body: id === SECTION.export ? moreExports(body, names.length, added) : body })),
  );
}

/**
 * @param maximumPages how far the memory may grow
 * @throws Error when the file is put together in another way than is known here
 */
export function withSharedMemory(file: Uint8Array, maximumPages: number): SharedImage {
  const sections = sectionsOf(file);
  const pages = initialPages(bodyOf(sections, SECTION.memory));
  const segments = segmentsOf(bodyOf(sections, SECTION.data));
  const imports = new Reader(bodyOf(sections, SECTION.import));
  const memory = [...text("env"), ...text("memory"), ...SHARED_MEMORY, ...unsigned(pages), ...unsigned(maximumPages)];
  const body = Buffer.concat([
    Buffer.from([...unsigned(imports.number() + 1), ...memory]),
    bodyOf(sections, SECTION.import).subarray(imports.at),
  ]);
  const others = sections
    .filter(({ id }) => id !== SECTION.memory && id !== SECTION.data && id !== SECTION.dataCount)
    .map((section) => (section.id === SECTION.import ? { id: SECTION.import, body } : section));
  return { file: joined(file, others), segments, pages };
}

const joined = (file: Uint8Array, sections: readonly Section[]): Uint8Array =>
  Buffer.concat([file.subarray(0, HEADER_BYTES), ...sections.map(({ id, body }) => section(id, body))]);

/** The size of the one memory there is. */
function initialPages(body: Uint8Array): number {
  const reader = new Reader(body);
  if (reader.number() !== 1) throw new Error("the module has not one memory");
  reader.byte();
  return reader.number();
}

function segmentsOf(body: Uint8Array): Segment[] {
  const reader = new Reader(body);
  const segments: Segment[] = [];
  for (let left = reader.number(); left > 0; left--) {
    if (reader.number() !== ACTIVE || reader.byte() !== I32_CONST) throw new Error("a data segment of another kind");
    const address = reader.signed();
    if (reader.byte() !== END) throw new Error("a data segment at an address that is no constant");
    segments.push({ address, bytes: reader.bytes(reader.number()) });
  }
  return segments;
}

function moreExports(body: Uint8Array, count: number, added: readonly number[]): Uint8Array {
  const reader = new Reader(body);
  const before = reader.number();
  return Buffer.concat([Buffer.from(unsigned(before + count)), body.subarray(reader.at), Buffer.from(added)]);
}

const text = (value: string): number[] => [...unsigned(Buffer.byteLength(value)), ...Buffer.from(value)];

const section = (id: number, body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([id, ...unsigned(body.length)]), body]);
