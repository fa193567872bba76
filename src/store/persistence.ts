/** Everything that outlives a restart, put together: registrations under `dir`, and with an embedded engine its data. */
import type { DataEngine } from "../engine/engine-room.ts";
import type { EngineGate } from "../engine/engine-gate.ts";
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import { wordOf } from "../engine/traits.ts";
import { ReplyError, textOf } from "../errors.ts";
import type { Ids } from "../executions/ids.ts";
import type { ExecutionRunner } from "../executions/execution-runner.ts";
import type { Requirements } from "../executions/requirements.ts";
import type { SessionRegistry } from "../executions/session.ts";
import { after, type Middleware } from "../commands/path.ts";
import type { Logger } from "../log.ts";
import type { PythonHost } from "../python/python-host.ts";
import type { RegistrationRegistry } from "../registrations/registration-registry.ts";
import type { TimeEvents } from "../registrations/time-events.ts";
import { isError } from "../resp/frames.ts";
import { error, status } from "../resp/reply.ts";
import { explainsFailures, refusesToSave } from "./data-commands.ts";
import { DataFolder, type DataNames } from "./data-folder.ts";
import { DataSaves } from "./data-saves.ts";
import { reasonOf } from "./disk.ts";
import { EngineStore } from "./engine-store.ts";
import { FileStore } from "./file-store.ts";
import { FunctionCommands } from "./function-commands.ts";
import { type KeptTimers, RegistrationKeeper } from "./registration-keeper.ts";
import { DirectoryInUse, DirectoryLock } from "./directory-lock.ts";
import { NullStore, SeparateStore, type StoredItem, type StoredState } from "./store.ts";

interface PersistenceOptions extends DataNames {
  /** Go on with what can be read of damaged files, which are kept under other names. */
  readonly repair: boolean;
  /** Leave data of modules out that the engine does not know. */
  readonly skipModuleData: boolean;
  /** The data live in this process. */
  readonly embedded: boolean;
  /** The embedded engine, when it has files; all of that is in `directory`, empty: nothing is kept. */
  readonly data: DataEngine | undefined;
  readonly connections: InternalConnections;
  readonly gate: EngineGate;
  readonly registrations: RegistrationRegistry;
  readonly sessions: SessionRegistry;
  /** What scripts require is there before their registrations are. */
  readonly requirements: Pick<Requirements, "restore">;
  readonly ids: Ids;
  readonly host: PythonHost;
  readonly runner: ExecutionRunner;
  readonly timers: KeptTimers & Pick<TimeEvents, "putKeysBack" | "removeKeys" | "withKeys">;
  /** Of Regears and of Python, to tell what a file was made by. */
  readonly versions: { readonly regears: string; readonly python: string };
  readonly log: Logger;
}

/** Milliseconds that the last save waits for whoever holds the engine; the end of the server ends that one, too. */
const HOLDER_PATIENCE_MS = 2_000;

export class Persistence {
  /** For the commands of clients. */
  readonly middlewares: readonly Middleware[];
  readonly #options: PersistenceOptions;
  readonly #lock: DirectoryLock | undefined;
  readonly #keeper: RegistrationKeeper;
  readonly #folder: DataFolder | undefined;
  readonly #saves: DataSaves | undefined;
  #loaded = false;

  constructor(options: PersistenceOptions) {
    this.#options = options;
    const { data, directory, connections, gate, versions, log } = options;
    const { registrations, ids, timers, repair } = options;
    const lock = directory === "" ? undefined : new DirectoryLock({ directory, log });
    const ready = async (): Promise<void> => lock?.take();
    const file = lock ? new FileStore({ directory, versions, log, repair, ready }) : undefined;
    const inData =
      data && file
        ? new EngineStore({ engine: data, open: () => connections.open(), file, ready, versions, repair, log })
        : undefined;
    this.#lock = lock;
    this.#keeper = new RegistrationKeeper({
      store: inData ?? new SeparateStore(file ?? new NullStore(log)),
      ...{ registrations, ids, timers, log },
      prepareSessions: (restored) => options.requirements.restore(restored),
    });
    const reloading = debugReload((owner) => this.#reload(owner));
    if (data && inData) {
      this.#folder = new DataFolder(options);
      this.#saves = new DataSaves({ engine: data, connections, gate, log });
      const functions = new FunctionCommands({ store: inData, connections });
      const explaining = explainsFailures(() => data.takeFileFailure());
      this.middlewares = [explaining, keptWithLog(inData), functions, reloading];
    } else this.middlewares = options.embedded ? [refusesToSave(connections), reloading] : [];
  }

  /**
   * Takes the directory, and gets it ready for the engine. To be called first. When it can not be taken the server runs,
   * but what is to be kept is refused.
   * @throws DirectoryInUse when another server has it; InternalError when the data in it can not be used
   */
  async open(): Promise<void> {
    try {
      await this.#lock?.take();
    } catch (error) {
      if (error instanceof DirectoryInUse) throw error;
      this.#options.log.error(`nothing can be kept: ${textOf(error)}`);
    }
    await this.#folder?.prepare();
  }

  /** The engine can not use its data. @returns whether it shall try again. @throws InternalError that tells more */
  async mend(reason: string): Promise<boolean> {
    return (await this.#folder?.mend(reason)) ?? false;
  }

  /** The engine is up, and has its data. To be called before anybody listens to it. */
  async loadData(): Promise<void> {
    this.#loaded = true;
    if (!this.#folder) return;
    const info = String(await withConnection(this.#options.connections, (client) => client.call("INFO", "keyspace")));
    const keys = [...info.matchAll(/^db\d+:keys=(\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    if (this.#folder.hasData) this.#options.log.info(`${keys} keys loaded`);
  }

  /** Brings the registrations back and begins to save. To be called when the data are there and Python runs. */
  async restore(): Promise<void> {
    const { log } = this.#options;
    const count = await this.#keeper.restore((state) => this.#withoutKeys(state));
    this.#adopt();
    if (count > 0) log.info(`${count} registrations of an earlier run are back`);
    this.#saves?.start();
  }

  /**
   * The keys of time events are data: those that are newer than the data are made again, and those of time events that had
   * ended go.
   * @returns the time events that have no key, and so have ended
   */
  async #withoutKeys({ items, newer, ended }: StoredState): Promise<ReadonlySet<StoredItem>> {
    const { timers } = this.#options;
    if (!this.#folder) return new Set();
    await timers.removeKeys(ended.map(({ spec }) => spec));
    await timers.putKeysBack(newer.map(({ spec }) => spec));
    const all = items.filter((item) => item.kind === "timer");
    const there = await timers.withKeys(all.map(({ spec }) => spec));
    return new Set(all.filter(({ spec }) => !there.has(spec)));
  }

  /** DEBUG RELOAD: the engine saves and loads its data, everything of Gears goes through what a restart does to it. */
  async #reload(owner: object): Promise<void> {
    const { gate, runner } = this.#options;
    await gate.hold(owner, () => "DEBUG RELOAD");
    try {
      await this.#reloadData();
      await this.#keeper.reload(() => runner.forgetAll());
      this.#adopt();
    } finally {
      gate.release(owner);
    }
  }

  /** @throws ReplyError when the engine can not save */
  async #reloadData(): Promise<void> {
    const { data, connections } = this.#options;
    if (!data) return;
    try {
      await withConnection(connections, (client) => data.withDebug(() => client.call("DEBUG", "RELOAD")));
    } catch (error) {
      throw new ReplyError(`ERR the data can not be saved: ${reasonOf(data.takeFileFailure() ?? error)}`);
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
    this.#saves?.pause();
  }

  /**
   * Saves the data as the end does, while the server still works. Whoever holds the engine for long is not waited for.
   * @throws what went wrong: if the server ended now the data would be lost
   */
  async saveBeforeEnd(): Promise<void> {
    if (!this.#loaded || !(await this.#saves?.isDue())) return;
    const { gate } = this.#options;
    const held = gate.hold(this, () => "the last save");
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
      await this.#saves?.save();
    } finally {
      gate.release(this);
    }
  }

  /** Writes what is to be kept. To be called when nobody changes anything any more. @param alive the engine still answers */
  async close(alive: boolean): Promise<void> {
    await this.#keeper.close();
    try {
      if (alive && this.#loaded && (await this.#saves?.isDue())) await this.#saves?.save();
    } catch (error) {
      this.#options.log.error(`the last changes are lost: ${textOf(error)}`);
    }
    this.#lock?.release();
  }
}

/** Where registrations are kept depends on whether there is a log of changes. */
function keptWithLog(store: EngineStore): Middleware {
  return {
    of: ["client", "python"],
    active: false,
    always: ["config"],
    handle: (_name, request) => {
      const [verb, ...words] = request.copy(1).map(wordOf);
      const isAboutLog = verb === "set" && words.some((word, at) => at % 2 === 0 && word === "appendonly");
      if (!isAboutLog) return undefined;
      return after(async (reply) => {
        try {
          if (!isError(reply)) await store.refresh();
          return undefined;
        } catch (reason) {
          return error(`ERR the registrations can not be kept: ${reasonOf(reason)}`);
        }
      });
    },
  };
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
          try {
            await reload(owner);
          } catch (reason) {
            if (!(reason instanceof ReplyError)) throw reason;
            return error(reason.message);
          }
          return status("OK");
        },
      };
    },
  };
}
