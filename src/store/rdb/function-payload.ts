/** What FUNCTION DUMP gives: records of libraries as in a dump, the version of the format (16 bits), and a checksum. */
import { Crc64 } from "./crc64.ts";
import { RdbReader } from "./rdb-reader.ts";

const HEADER = Buffer.from("REDIS0011");
const VERSION_BYTES = 2;
const CHECKSUM_BYTES = 8;
/** The end of a dump, without a checksum. */
const END = Buffer.concat([Buffer.from([255]), Buffer.alloc(CHECKSUM_BYTES)]);

/** A library, with its record from `start` to before `end`. */
interface DumpedLibrary {
  readonly code: Buffer;
  readonly start: number;
  readonly end: number;
}

/** @throws Error when it is none */
export function dumpedLibraries(payload: Buffer): DumpedLibrary[] {
  const records = payload.subarray(0, Math.max(0, payload.length - VERSION_BYTES - CHECKSUM_BYTES));
  const dump = Buffer.concat([HEADER, records, END]);
  const reader = new RdbReader((buffer, position) => dump.copy(buffer, 0, position));
  reader.header();
  const libraries: DumpedLibrary[] = [];
  for (let record = reader.next(); record.kind !== "end"; record = reader.next()) {
    const { code, start, end } = record;
    if (code) libraries.push({ code, start: start - HEADER.length, end: end - HEADER.length });
  }
  return libraries;
}

/** The same without some of the libraries. @throws Error when it is none */
export function withoutLibraries(payload: Buffer, isLeftOut: (code: Buffer) => boolean): Buffer {
  const kept = dumpedLibraries(payload).filter(({ code }) => !isLeftOut(code));
  const version = payload.subarray(payload.length - VERSION_BYTES - CHECKSUM_BYTES, payload.length - CHECKSUM_BYTES);
  const content = Buffer.concat([...kept.map(({ start, end }) => payload.subarray(start, end)), version]);
  const crc = new Crc64();
  crc.add(content);
  return Buffer.concat([content, crc.bytes]);
}
