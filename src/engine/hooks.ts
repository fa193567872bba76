/**
 * Functions of Valkey whose work the host does: what Valkey leaves to threads and processes of its own, of which
 * WebAssembly has none. The package's build does such work at once, in its only thread, or fails.
 *
 * In the file that is run each of these functions has another body, which calls a function of the host. It is one that the
 * file imports and Valkey never calls but on sockets of the system, `sock_shutdown`, with a number below zero in the place
 * of a descriptor: more imports would give all functions other numbers.
 */
import { bodyOf, functionNames, importedFunctions, Reader, SECTION, type Section, unsigned } from "./wasm-file.ts";

/** What the host is asked. */
export const Hook = {
  /** How much of this kind of work (see {@link AOF_SYNC}) is not done yet? */
  pendingJobs: -2,
  /** Bring the file of this descriptor to the disk meanwhile. */
  syncInBackground: -3,
  /** Come back when work of this kind is done. */
  drainJobs: -4,
  /** Save in a process of its own. Answers 0 when that has begun or will begin, -1 when it can not. */
  saveInBackground: -5,
  /** The same for a new append-only file. */
  rewriteInBackground: -6,
} as const;

/** The kind of work that is to bring the append-only file to the disk (bio.h). */
export const AOF_SYNC = 1;

/** By the functions' names, with how their parameters and results are told. */
const HOOKED: Readonly<Record<string, { readonly hook: number; readonly takes: boolean; readonly gives: boolean }>> = {
  bioPendingJobsOfType: { hook: Hook.pendingJobs, takes: true, gives: true },
  bioCreateFsyncJob: { hook: Hook.syncInBackground, takes: true, gives: false },
  bioDrainWorker: { hook: Hook.drainJobs, takes: true, gives: false },
  rdbSaveBackground: { hook: Hook.saveInBackground, takes: true, gives: true },
  rewriteAppendOnlyFileBackground: { hook: Hook.rewriteInBackground, takes: false, gives: true },
};

const HOST = "__imported_wasi_snapshot_preview1_sock_shutdown";

const I32_CONST = 0x41;
const LOCAL_GET = 0x20;
const CALL = 0x10;
const DROP = 0x1a;
const END = 0x0b;

/**
 * Puts the host's functions into the place of Valkey's.
 * @returns the sections with another one of code; undefined when the file has not all of these functions
 */
export function withHooks(sections: readonly Section[]): readonly Section[] | undefined {
  const names = functionNames(sections);
  const host = names.get(HOST);
  if (host === undefined) return undefined;
  const imported = importedFunctions(new Reader(bodyOf(sections, SECTION.import)));
  const bodies = new Map<number, Uint8Array>();
  for (const [name, { hook, takes, gives }] of Object.entries(HOOKED)) {
    const index = names.get(name);
    if (index === undefined) return undefined;
    const argument = takes ? [LOCAL_GET, 0] : [I32_CONST, 0];
    // a small number below zero is one byte of LEB128; no locals besides the parameters
    const code = [0, I32_CONST, hook & 127, ...argument, CALL, ...unsigned(host), ...(gives ? [] : [DROP]), END];
    bodies.set(index - imported, Buffer.from(code));
  }
  return sections.map((section) => (section.id === SECTION.code ? withBodies(section, bodies) : section));
}

function withBodies({ id, body }: Section, bodies: ReadonlyMap<number, Uint8Array>): Section {
  const reader = new Reader(body);
  const count = reader.number();
  const parts: Uint8Array[] = [Buffer.from(unsigned(count))];
  for (let index = 0; index < count; index++) {
    const present = reader.bytes(reader.number());
    const wanted = bodies.get(index) ?? present;
    parts.push(Buffer.from(unsigned(wanted.length)), wanted);
  }
  return { id, body: Buffer.concat(parts) };
}
