/**
 * A requirement with its wheels as bytes, by which one server gives it to another: name, system, number of wheels, and of
 * each its file name and contents. Texts and contents have their length before them (4 bytes).
 */
import { basename } from "node:path";

/** What the wheels run on. */
export const COMPILED_OS = "emscripten-wasm32";

/** A wheel on its way. */
interface SentWheel {
  readonly fileName: string;
  readonly bytes: Buffer;
}

export interface SentRequirement {
  readonly text: string;
  readonly wheels: readonly SentWheel[];
}

/** The bytes are not what {@link writeTransfer} makes. */
export class BadTransfer extends Error {
  override name = "BadTransfer";

  constructor(what: string) {
    super(`Bad serialization format on reading ${what}`);
  }
}

const MAX_WHEELS = 1000;
const CHUNK = 10 * 1024 * 1024;

/** In chunks of at most 10 MiB. */
export function writeTransfer({ text, wheels }: SentRequirement): Buffer[] {
  const parts = [
    ...field(Buffer.from(text)),
    ...field(Buffer.from(COMPILED_OS)),
    number(wheels.length),
    ...wheels.flatMap(({ fileName, bytes }) => [...field(Buffer.from(fileName)), ...field(bytes)]),
  ];
  const all = Buffer.concat(parts);
  return Array.from({ length: Math.ceil(all.length / CHUNK) }, (_, at) => all.subarray(at * CHUNK, (at + 1) * CHUNK));
}

/** @throws BadTransfer that says where it can not be read */
export function readTransfer(chunks: readonly Buffer[]): SentRequirement {
  const all = Buffer.concat(chunks);
  let at = 0;
  const take = (length: number, what: string): Buffer => {
    if (at + length > all.length) throw new BadTransfer(what);
    at += length;
    return all.subarray(at - length, at);
  };
  const count = (what: string): number => take(4, what).readUInt32LE();
  const read = (what: string): Buffer => take(count(what), what);
  const text = read("requirement name").toString("utf8");
  if (text === "") throw new BadTransfer("requirement name");
  if (read("requirement os").toString("utf8") !== COMPILED_OS) throw new BadTransfer("requirement os");
  const wheels = count("requirement wheels amount");
  if (wheels > MAX_WHEELS) throw new BadTransfer("requirement wheels amount");
  const sent = Array.from({ length: wheels }, (): SentWheel => {
    const fileName = read("wheel file name").toString("utf8");
    if (fileName !== basename(fileName) || !/^[\w.+-]+\.(whl|zip)$/.test(fileName))
      throw new BadTransfer("wheel file name");
    return { fileName, bytes: read("wheel file data") };
  });
  if (at !== all.length) throw new BadTransfer("wheel file data");
  return { text, wheels: sent };
}

const field = (bytes: Buffer): Buffer[] => [number(bytes.length), bytes];

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
