/** Everything that outlives a restart, put together: registrations under `dir`, and with an embedded engine its data. */
import type { EngineGate } from "../engine/gate.ts";
import type { InternalConnections } from "../engine/internal.ts";
import type { Ids } from "../executions/ids.ts";
import type { SessionRegistry } from "../executions/session.ts";
import type { Interceptor } from "../gateway/interceptor.ts";
import type { Logger } from "../log.ts";
import type { PythonHost } from "../python/host.ts";
import type { RegistrationRegistry } from "../registrations/registry.ts";
import { DataSnapshots } from "./data.ts";
import { FileStore } from "./file.ts";
import { type KeptTimers, RegistrationKeeper } from "./keeper.ts";
import { SaveCommands } from "./save-commands.ts";
import { parseSavePoints, SaveSchedule } from "./schedule.ts";
import { NullStore } from "./store.ts";

export interface PersistenceOptions {
  /** Where things are kept; empty: nowhere. */
  readonly directory: string;
  /** Save points as in redis.conf; empty: data are saved on command only. */
  readonly save: string;
  /** The data live in this process. */
  readonly embedded: boolean;
  readonly connections: InternalConnections;
  readonly gate: EngineGate;
  readonly registrations: RegistrationRegistry;
  readonly sessions: SessionRegistry;
  readonly ids: Ids;
  readonly host: PythonHost;
  readonly timers: KeptTimers;
  /** Of Regears and of Python, to tell what a file was made by. */
  readonly versions: { readonly regears: string; readonly python: string };
  readonly log: Logger;
}

export class Persistence {
  /** To be asked about clients' commands. */
  readonly interceptors: readonly Interceptor[];
  readonly #options: PersistenceOptions;
  readonly #keeper: RegistrationKeeper;
  readonly #snapshots: DataSnapshots | undefined;
  readonly #schedule: SaveSchedule | undefined;
  readonly #saves: boolean;
  #loaded = false;

  /** @throws ConfigError when `save` can not be read */
  constructor(options: PersistenceOptions) {
    this.#options = options;
    const { directory, connections, gate, versions, log } = options;
    const points = parseSavePoints(options.save);
    const store = directory === "" ? new NullStore(log) : new FileStore({ directory, versions, log });
    const { registrations, ids, timers } = options;
    this.#keeper = new RegistrationKeeper({ store, registrations, ids, timers });
    this.#saves = points.length > 0;
    if (directory === "" || !options.embedded) {
      this.interceptors = [];
      return;
    }
    this.#snapshots = new DataSnapshots({ directory, connections, gate, version: versions.regears, log });
    this.#schedule = new SaveSchedule(points, this.#snapshots);
    this.interceptors = [new SaveCommands({ snapshots: this.#snapshots, connections, gate, scheduled: this.#saves })];
  }

  /** Resolves when all changes of registrations so far are on disk, or can not be. */
  kept(): Promise<boolean> {
    return this.#keeper.flush();
  }

  /** Brings the data back. To be called when the engine is up and before anybody listens to it. */
  async loadData(): Promise<void> {
    await this.#snapshots?.load();
    this.#loaded = true;
  }

  /** Brings the registrations back and begins to save. To be called when the data are there and Python runs. */
  async restore(): Promise<void> {
    const { sessions, host, timers, log } = this.#options;
    const count = await this.#keeper.restore();
    const withTimers = timers.list().map(({ session }) => session);
    for (const session of new Set([...sessions.live(), ...withTimers])) host.adopt(session);
    if (count > 0) log.info(`${count} registrations of an earlier run are back`);
    this.#schedule?.start();
  }

  /** Stops saving by the clock. */
  pause(): void {
    this.#schedule?.stop();
  }

  /** Writes what is to be kept. To be called when nobody changes anything any more. @param alive the engine still answers */
  async close(alive: boolean): Promise<void> {
    await this.#keeper.close();
    if (!alive || !this.#loaded || !this.#snapshots) return;
    if (this.#saves || this.#snapshots.status.lastFailed) await this.#snapshots.saveLast().catch(() => {});
  }
}
