/** Dumps with data of modules, which Valkey refuses as a whole: what is in them, and copies without it. */
import { closeSync, openSync, readSync } from "node:fs";
import type { File } from "../disk.ts";
import { Crc64 } from "./crc64.ts";
import { GEARS_TYPES, GearsCollector, type GearsData } from "./gears-data.ts";
import { type ReadAt, RdbReader, type RdbRecord } from "./rdb-reader.ts";

/** What a dump has of modules. */
export interface ModuleData {
  readonly gears: GearsData;
  /** Types of data of other modules, with the keys of each. */
  readonly others: ReadonlyMap<string, readonly string[]>;
  /** How many keys are left out of a copy, and how many records with them. */
  readonly keys: number;
  readonly records: number;
  /** From where to where records are that a copy has, the end not among them. */
  readonly kept: readonly (readonly [start: number, end: number])[];
  /** Where the dump ends: in the log of an old Redis changes follow. */
  readonly end: number;
}

const COPIED_BYTES = 256 * 1024;
/** Keys of a type that are named. */
const MOST_NAMES = 1000;
const END = 255;

/**
 * Reads a dump wholly, in one go.
 * @throws BadRdb when it is none, or damaged; what the file system throws
 */
export function readModuleData(path: string): ModuleData {
  return withFile(path, (readAt) => collect(new RdbReader(readAt)));
}

/** Writes a copy without data of modules, with a checksum of its own. @throws what the file system throws */
export async function copyWithout(source: string, target: File, { kept }: Pick<ModuleData, "kept">): Promise<void> {
  const crc = new Crc64();
  const write = async (bytes: Buffer): Promise<void> => {
    crc.add(bytes);
    await target.writeFile(bytes);
  };
  await copyRanges(source, kept, write);
  await write(Buffer.from([END]));
  await target.writeFile(crc.bytes);
}

/** Gives `write` the bytes of a file between these places. @throws what the file system throws */
export async function copyRanges(
  source: string,
  ranges: ModuleData["kept"],
  write: (bytes: Buffer) => Promise<void>,
): Promise<void> {
  await withFile(source, async (readAt) => {
    for (const [start, end] of ranges) {
      for (let at = start; at < end; at += COPIED_BYTES) {
        const piece = Buffer.alloc(Math.min(COPIED_BYTES, end - at));
        readAt(piece, at);
        await write(piece);
      }
    }
  });
}

/** The file stays open until a promise of `use` has resolved. */
function withFile<T>(path: string, use: (readAt: ReadAt) => T): T {
  const fd = openSync(path, "r");
  let outcome: T;
  try {
    outcome = use((buffer, position) => readSync(fd, buffer, 0, buffer.length, position));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  if (outcome instanceof Promise) return outcome.finally(() => closeSync(fd)) as T;
  closeSync(fd);
  return outcome;
}

function collect(reader: RdbReader): ModuleData {
  const gears = new GearsCollector();
  const others = new Map<string, string[]>();
  const kept: [number, number][] = [[0, reader.header()]];
  let [keys, records] = [0, 0];
  for (;;) {
    const record = reader.next();
    if (record.kind === "end") return { gears: gears.data, others, keys, records, kept, end: record.end };
    if (record.module === undefined) keep(kept, record);
    else {
      records++;
      if (record.kind === "key") keys++;
      if (GEARS_TYPES.has(record.module.name)) gears.take(record);
      else noteOther(others, record);
    }
  }
}

/** Notes what stays, where adjacent pieces are one. */
export function keep(kept: [number, number][], { start, end }: Pick<RdbRecord, "start" | "end">): void {
  const last = kept.at(-1);
  if (last && last[1] === start) last[1] = end;
  else kept.push([start, end]);
}

function noteOther(others: Map<string, string[]>, { module, key }: RdbRecord): void {
  const name = module?.name ?? "";
  const names = others.get(name) ?? [];
  others.set(name, names);
  if (key && names.length < MOST_NAMES) names.push(key.toString());
}
