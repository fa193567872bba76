/**
 * Functions of Valkey whose work the host does: what Valkey leaves to threads and processes of its own, of which
 * WebAssembly has none. The package's build does such work at once, in its only thread, or fails.
 *
 * In the file that is run these functions have another body, or begin with something else: they call a function of the host.
 * That is `sock_shutdown`, which the file imports already, with a number below zero in the place of a descriptor; Valkey itself
 * calls it on sockets of the operating system only. One more import would give all functions other numbers.
 */
import { bodyOf, functionNames, importedFunctions, Reader, SECTION, type Section, unsigned } from "./wasm-file.ts";

/** What the host is asked, or told. */
export const Hook = {
  /** How much of this kind of work (see {@link AOF_SYNC}) is not done yet? */
  pendingJobs: -2,
  /** Bring the file of this descriptor to the disk while Valkey goes on. */
  syncInBackground: -3,
  /** Come back when work of this kind is done. */
  drainJobs: -4,
  /** Make a copy of the engine for this purpose. Answers its number, or -1. */
  fork: -5,
  /** An argument of `rdbSaveBackground`, which comes next; there are {@link SAVE_ARGUMENTS}. */
  saveArgument: -6,
  /** Do what is to be done when a copy has ended, if one has. */
  reapChild: -7,
  /** The copy that saves is to end. */
  killSave: -8,
  /** The copy that writes an append-only file is to end, and to be forgotten at once. */
  killRewrite: -9,
  /** A client, by its address, has sent BGSAVE. */
  saveCommand: -10,
} as const;

/** The kind of work that is to bring the append-only file to the disk (bio.h). */
export const AOF_SYNC = 1;

/** How a function of Valkey is changed: the host is called in the place of its code, or before it. */
interface Hooked {
  readonly hook: number;
  /** The parameters that the host is told, each by a call of its own. None: one call, with 0. */
  readonly told: readonly number[];
  /** The calls take the place of the code, and do not come before it; `gives`: the host's answer is the function's result. */
  readonly instead?: { readonly gives: boolean };
}

export const SAVE_ARGUMENTS = 4;

/**
 * The changed functions by their names. `fork()` and `waitpid()` always fail in this build. `serverFork` is where Valkey would
 * call `fork`, and `replicationStartPendingFork` is what Valkey calls after `waitpid`. Before `killAppendOnlyChild`,
 * `startAppendOnly` and `stopAppendOnly` the host ends a rewriting: these functions would wait for its process for ever.
 */
const HOOKED: Readonly<Record<string, Hooked>> = {
  bioPendingJobsOfType: { hook: Hook.pendingJobs, told: [0], instead: { gives: true } },
  bioCreateFsyncJob: { hook: Hook.syncInBackground, told: [0], instead: { gives: false } },
  bioDrainWorker: { hook: Hook.drainJobs, told: [0], instead: { gives: false } },
  serverFork: { hook: Hook.fork, told: [0], instead: { gives: true } },
  rdbSaveBackground: { hook: Hook.saveArgument, told: Array.from({ length: SAVE_ARGUMENTS }, (_, index) => index) },
  replicationStartPendingFork: { hook: Hook.reapChild, told: [] },
  killRDBChild: { hook: Hook.killSave, told: [] },
  killAppendOnlyChild: { hook: Hook.killRewrite, told: [] },
  startAppendOnly: { hook: Hook.killRewrite, told: [] },
  stopAppendOnly: { hook: Hook.killRewrite, told: [] },
  bgsaveCommand: { hook: Hook.saveCommand, told: [0] },
};

const HOST = "__imported_wasi_snapshot_preview1_sock_shutdown";

const I32_CONST = 0x41;
const LOCAL_GET = 0x20;
const CALL = 0x10;
const DROP = 0x1a;
const END = 0x0b;

/**
 * Puts the host's functions into the place of Valkey's.
 * @returns the sections, with another section of code; undefined when the file lacks one of these functions
 */
export function withHooks(sections: readonly Section[]): readonly Section[] | undefined {
  const names = functionNames(sections);
  const host = names.get(HOST);
  if (host === undefined) return undefined;
  const imported = importedFunctions(new Reader(bodyOf(sections, SECTION.import)));
  const changes = new Map<number, (present: Uint8Array) => Uint8Array>();
  for (const [name, hooked] of Object.entries(HOOKED)) {
    const index = names.get(name);
    if (index === undefined) return undefined;
    changes.set(index - imported, (present) => withHook(present, hooked, host));
  }
  return sections.map((section) => (section.id === SECTION.code ? withBodies(section, changes) : section));
}

function withHook(present: Uint8Array, { hook, told, instead }: Hooked, host: number): Uint8Array {
  // a small number below zero is one byte of LEB128
  const call = (argument: readonly number[]) => [I32_CONST, hook & 127, ...argument, CALL, ...unsigned(host)];
  const calls = (told.length === 0 ? [[I32_CONST, 0]] : told.map((parameter) => [LOCAL_GET, parameter])).map(call);
  // no locals besides the parameters
  if (instead) return Buffer.from([0, ...calls.flat(), ...(instead.gives ? [] : [DROP]), END]);
  const begin = afterLocals(present);
  const before = calls.flatMap((code) => [...code, DROP]);
  return Buffer.concat([present.subarray(0, begin), Buffer.from(before), present.subarray(begin)]);
}

/** Where the code of a function begins. */
function afterLocals(body: Uint8Array): number {
  const reader = new Reader(body);
  for (let groups = reader.number(); groups > 0; groups--) {
    reader.number();
    reader.byte();
  }
  return reader.at;
}

function withBodies({ id, body }: Section, changes: ReadonlyMap<number, (present: Uint8Array) => Uint8Array>): Section {
  const reader = new Reader(body);
  const count = reader.number();
  const parts: Uint8Array[] = [Buffer.from(unsigned(count))];
  for (let index = 0; index < count; index++) {
    const present = reader.bytes(reader.number());
    const wanted = changes.get(index)?.(present) ?? present;
    parts.push(Buffer.from(unsigned(wanted.length)), wanted);
  }
  return { id, body: Buffer.concat(parts) };
}
