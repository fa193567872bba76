/**
 * The bytes of the file of registrations: a line with the checksum of everything after it, then JSON, in which byte
 * strings are `{"base64": "…"}`.
 */
import { type RegistrationSpec, SPEC_DEFAULTS } from "../registrations/registration.ts";
import { sha256 } from "./disk.ts";
import type { StoredSession } from "./store.ts";

const FORMAT = 1;
const FIRST_LINE = /^regears-registrations sha256:([0-9a-f]{64})\n/;
const FIRST_LINE_LENGTH = 94;

/** Who writes, and what its Python can read. */
export interface Versions {
  /** Version of Regears. */
  readonly regears: string;
  /** Minor version of Python, such as `3.14`: serialised registrations hold its byte code. */
  readonly python: string;
}

/** The file's content can not be used. */
export class UnusableFile extends Error {
  override name = "UnusableFile";
  /** A word for the name under which the file is kept. */
  readonly why: string;

  constructor(why: string, message: string) {
    super(message);
    this.why = why;
  }
}

type Json = string | number | boolean | readonly string[] | { readonly base64: string };

interface Content extends Versions {
  readonly format: number;
  readonly saved: string;
  readonly sessions: readonly {
    readonly id: string;
    readonly description?: string;
    readonly user?: string;
    readonly requirements: readonly string[];
    readonly registrations: readonly { readonly number: number; readonly spec: Readonly<Record<string, Json>> }[];
    readonly timers?: readonly {
      readonly number: number;
      readonly seconds: number;
      readonly key: string;
      readonly blob: { readonly base64: string };
    }[];
  }[];
}

/** The file's content for these sessions. */
export function encodeRegistrations(sessions: readonly StoredSession[], versions: Versions, now: Date): Buffer {
  const content: Content = {
    format: FORMAT,
    ...versions,
    saved: now.toISOString(),
    sessions: sessions.map(({ id, description, user, requirements, registrations, timers }) => ({
      id,
      ...(description === undefined ? {} : { description }),
      ...(user === undefined ? {} : { user }),
      requirements,
      registrations: registrations.map(({ number, spec }) => ({ number, spec: packSpec(spec) })),
      ...(timers && {
        timers: timers.map(({ blob, ...rest }) => ({ ...rest, blob: { base64: blob.toString("base64") } })),
      }),
    })),
  };
  const body = Buffer.from(`${JSON.stringify(content)}\n`);
  return Buffer.concat([Buffer.from(`regears-registrations sha256:${sha256(body)}\n`), body]);
}

/**
 * The sessions in a file's content.
 * @param versions of the server that reads
 * @throws UnusableFile
 */
export function decodeRegistrations(bytes: Buffer, versions: Versions): StoredSession[] {
  const first = FIRST_LINE.exec(bytes.toString("latin1", 0, FIRST_LINE_LENGTH));
  if (!first) throw new UnusableFile("corrupt", "it is no file of registrations");
  const body = bytes.subarray(first[0].length);
  if (sha256(body) !== first[1]) throw new UnusableFile("corrupt", "its checksum is wrong");
  const content = JSON.parse(body.toString()) as Content;
  if (content.format !== FORMAT) {
    throw new UnusableFile(`format-${content.format}`, `Regears ${content.regears} wrote it in another format`);
  }
  if (content.python !== versions.python) {
    const text = `it holds code for Python ${content.python}, and this is ${versions.python}: run the scripts again`;
    throw new UnusableFile(`python-${content.python}`, text);
  }
  return content.sessions.map(({ id, description, user, requirements, registrations, timers }) => ({
    id,
    description,
    ...(user === undefined ? {} : { user }),
    requirements,
    registrations: registrations.map(({ number, spec }) => ({ number, spec: unpackSpec(spec) })),
    ...(timers && {
      timers: timers.map(({ blob, ...rest }) => ({ ...rest, blob: Buffer.from(blob.base64, "base64") })),
    }),
  }));
}

function packSpec(spec: RegistrationSpec): Record<string, Json> {
  const packed: Record<string, Json> = {};
  for (const [name, value] of Object.entries(spec) as [
    string,
    Exclude<Json, { base64: string }> | Buffer | undefined,
  ][]) {
    if (value !== undefined) packed[name] = Buffer.isBuffer(value) ? { base64: value.toString("base64") } : value;
  }
  return packed;
}

/** The checksum has shown that it was written by us. */
function unpackSpec(packed: Readonly<Record<string, Json>>): RegistrationSpec {
  const fields = Object.entries(packed).map(([name, value]) => [
    name,
    typeof value === "object" && "base64" in value ? Buffer.from(value.base64, "base64") : value,
  ]);
  // a file of another version may not have all fields
  return { ...SPEC_DEFAULTS, ...(Object.fromEntries(fields) as RegistrationSpec) };
}
