/** Everything that outlives a restart, put together: registrations under `dir`, and with an embedded engine its data. */
import type { EngineGate } from "../engine/gate.ts";
import type { InternalConnections } from "../engine/internal.ts";
import { wordOf } from "../engine/traits.ts";
import type { Ids } from "../executions/ids.ts";
import type { ExecutionRunner } from "../executions/runner.ts";
import type { Requirements } from "../executions/requirements.ts";
import type { SessionRegistry } from "../executions/session.ts";
import type { Middleware } from "../commands/path.ts";
import type { Logger } from "../log.ts";
import type { PythonHost } from "../python/python-host.ts";
import type { RegistrationRegistry } from "../registrations/registration-registry.ts";
import type { TimeEvents } from "../registrations/time-events.ts";
import { error, status } from "../resp/reply.ts";
import { DataSnapshots } from "./data.ts";
import { textOf } from "./disk.ts";
import { FileStore } from "./file.ts";
import { type KeptTimers, RegistrationKeeper } from "./keeper.ts";
import { SaveCommands } from "./save-commands.ts";
import { parseSavePoints, SaveSchedule } from "./schedule.ts";
import { DirectoryInUse, DirectoryLock } from "./lock.ts";
import { refusesToSave } from "./no-folder.ts";
import { NullStore, type StoredTimer } from "./store.ts";

interface PersistenceOptions {
  /** Where things are kept; empty: nowhere. */
  readonly directory: string;
  /** Go on with what can be read of damaged files, which are kept under other names. */
  readonly repair: boolean;
  /** Save points as in redis.conf; empty: data are saved on command only. */
  readonly save: string;
  /** The data live in this process. */
  readonly embedded: boolean;
  readonly connections: InternalConnections;
  readonly gate: EngineGate;
  readonly registrations: RegistrationRegistry;
  readonly sessions: SessionRegistry;
  /** What scripts require is there before their registrations are. */
  readonly requirements: Pick<Requirements, "restore">;
  readonly ids: Ids;
  readonly host: PythonHost;
  readonly runner: ExecutionRunner;
  readonly timers: KeptTimers & Pick<TimeEvents, "putKeysBack">;
  /** Of Regears and of Python, to tell what a file was made by. */
  readonly versions: { readonly regears: string; readonly python: string };
  readonly log: Logger;
}

/** Milliseconds that the last snapshot waits for whoever holds the engine; the end of the server ends that one, too. */
const HOLDER_PATIENCE_MS = 2_000;

export class Persistence {
  /** For the commands of clients. */
  readonly middlewares: readonly Middleware[];
  readonly #options: PersistenceOptions;
  readonly #lock: DirectoryLock | undefined;
  readonly #keeper: RegistrationKeeper;
  readonly #snapshots: DataSnapshots | undefined;
  readonly #schedule: SaveSchedule | undefined;
  readonly #saves: boolean;
  #loaded = false;
  #savedBeforeEnd = false;

  /** @throws ConfigError when `save` can not be read */
  constructor(options: PersistenceOptions) {
    this.#options = options;
    const { directory, connections, gate, versions, log } = options;
    const points = parseSavePoints(options.save);
    const { registrations, ids, timers, repair } = options;
    const lock = directory === "" ? undefined : new DirectoryLock({ directory, log });
    const ready = async (): Promise<void> => lock?.take();
    const store = lock ? new FileStore({ directory, versions, log, repair, ready }) : new NullStore(log);
    this.#lock = lock;
    const snapshots = (): number => this.#snapshots?.begun ?? 0;
    this.#keeper = new RegistrationKeeper({
      ...{ store, registrations, ids, timers, snapshots, log },
      prepareSessions: (restored) => options.requirements.restore(restored),
    });
    this.#saves = points.length > 0;
    const reloading = debugReload((owner) => this.#reload(owner));
    if (directory === "" || !options.embedded) {
      this.middlewares = options.embedded ? [refusesToSave(connections), reloading] : [];
      return;
    }
    const version = versions.regears;
    this.#snapshots = new DataSnapshots({ directory, connections, gate, version, log, repair, ready });
    this.#schedule = new SaveSchedule(points, this.#snapshots);
    const saving = new SaveCommands({ snapshots: this.#snapshots, connections, gate, scheduled: this.#saves });
    this.middlewares = [saving, reloading];
  }

  /**
   * Takes the directory. To be called first. When that is not possible the server runs, but what is to be kept is refused.
   * @throws DirectoryInUse when another server has it
   */
  async open(): Promise<void> {
    try {
      await this.#lock?.take();
    } catch (error) {
      if (error instanceof DirectoryInUse) throw error;
      this.#options.log.error(`nothing can be kept: ${textOf(error)}`);
    }
  }

  /** Brings the data back. To be called when the engine is up and before anybody listens to it. */
  async loadData(): Promise<void> {
    await this.#snapshots?.load();
    this.#loaded = true;
  }

  /** Brings the registrations back and begins to save. To be called when the data are there and Python runs. */
  async restore(): Promise<void> {
    const { log } = this.#options;
    const count = await this.#keeper.restore((timers) => this.#putKeysBack(timers));
    this.#adopt();
    if (count > 0) log.info(`${count} registrations of an earlier run are back`);
    this.#schedule?.start();
  }

  /** The keys of time events are data: those that were made after the snapshot that was loaded are not in it. */
  async #putKeysBack(timers: readonly StoredTimer[]): Promise<void> {
    if (!this.#snapshots) return;
    const { begun, loaded } = this.#snapshots;
    this.#snapshots.atLeastBegun(timers.reduce((most, { snapshot }) => Math.max(most, snapshot), begun));
    const later = timers.filter(({ snapshot }) => snapshot >= loaded);
    await this.#options.timers.putKeysBack(later.map(({ spec }) => spec));
  }

  /** DEBUG RELOAD: the data stay as they are, everything of Gears goes through what a restart does to it. */
  async #reload(owner: object): Promise<void> {
    const { gate, runner } = this.#options;
    await gate.hold(owner, () => "DEBUG RELOAD");
    try {
      await this.#keeper.reload(() => runner.forgetAll());
      this.#adopt();
    } finally {
      gate.release(owner);
    }
  }

  /** Sessions that were made again get their interpreters. */
  #adopt(): void {
    const { sessions, host, timers } = this.#options;
    const withTimers = timers.list().map(({ session }) => session);
    for (const session of new Set([...sessions.live(), ...withTimers])) host.adopt(session);
  }

  /** Stops saving by the clock. */
  pause(): void {
    this.#schedule?.stop();
  }

  /**
   * Saves the data as the end does, while the server still works. Whoever holds the engine for long is not waited for.
   * @throws what went wrong: if the server ended now the data would be lost
   */
  async saveBeforeEnd(): Promise<void> {
    if (!this.#snapshots || !this.#savesAtEnd || (await this.#snapshots.changes()) === 0) return;
    const { gate } = this.#options;
    const held = gate.hold(this, () => "the last snapshot");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<true>((resolve) => {
      timer = setTimeout(() => resolve(true), HOLDER_PATIENCE_MS);
    });
    const isLate = await Promise.race([held.then(() => false), late]);
    clearTimeout(timer);
    if (isLate) {
      void held.then(() => gate.release(this));
      return;
    }
    try {
      await this.#snapshots.saveLast(this);
      this.#savedBeforeEnd = true;
    } finally {
      gate.release(this);
    }
  }

  get #savesAtEnd(): boolean {
    return this.#loaded && (this.#saves || this.#snapshots?.status.lastFailed === true);
  }

  /** Has nothing changed since the server was told to end? */
  async #isSaved(snapshots: DataSnapshots): Promise<boolean> {
    return this.#savedBeforeEnd && (await snapshots.changes()) === 0;
  }

  /** Writes what is to be kept. To be called when nobody changes anything any more. @param alive the engine still answers */
  async close(alive: boolean): Promise<void> {
    await this.#keeper.close();
    const snapshots = this.#snapshots;
    if (alive && snapshots && this.#savesAtEnd && !(await this.#isSaved(snapshots))) {
      await snapshots
        .saveLast()
        .catch((error) => this.#options.log.error(`the last changes are lost: ${textOf(error)}`));
    }
    this.#lock?.release();
  }
}

/** DEBUG RELOAD needs no permission: it is for tests of scripts that are to survive a restart. */
function debugReload(reload: (owner: object) => Promise<void>): Middleware {
  return {
    of: ["client"],
    active: false,
    always: ["debug"],
    handle: (_name, request) => {
      if (request.count < 2 || wordOf(request.view(1)) !== "reload") return undefined;
      return {
        way: "instead",
        run: async ({ owner, canWait }) => {
          if (!canWait) return error("ERR DEBUG RELOAD is not allowed here");
          await reload(owner);
          return status("OK");
        },
      };
    },
  };
}
