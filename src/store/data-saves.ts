/** The data of the embedded engine, which saves them itself: when it wants to do so in the background, and at the end. */
import type { EngineClient } from "../engine/engine-client.ts";
import type { DataEngine } from "../engine/engine-room.ts";
import type { EngineGate } from "../engine/engine-gate.ts";
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import type { Logger } from "../log.ts";
import { reasonOf } from "./disk.ts";

interface DataSavesOptions {
  readonly engine: DataEngine;
  readonly connections: Pick<InternalConnections, "open">;
  readonly gate: EngineGate;
  readonly log: Pick<Logger, "info" | "error">;
}

/** After a failure it is not tried again by the clock for so long, in milliseconds. */
const RETRY_AFTER_MS = 5_000;

export class DataSaves {
  readonly #options: DataSavesOptions;
  #running: Promise<void> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  #paused = false;

  constructor(options: DataSavesOptions) {
    this.#options = options;
  }

  /** From now on the engine saves when it is time to, also where it can not be copied for that. */
  start(): void {
    this.#options.engine.background = { save: () => this.#begin() };
  }

  /** The end comes: nothing new is begun. */
  pause(): void {
    this.#paused = true;
  }

  /** Would something be lost? False as well when nothing is saved at the end. */
  async isDue(): Promise<boolean> {
    return this.#ask(async (client) => {
      const [, points] = (await client.call("CONFIG", "GET", "save")) as Buffer[];
      if (String(points) === "" && !this.#lastFailed) return false;
      const info = String(await client.call("INFO", "persistence"));
      return /^rdb_changes_since_last_save:(\d+)/m.exec(info)?.[1] !== "0";
    });
  }

  /** @throws Error with the reason */
  async save(): Promise<void> {
    const { engine, log } = this.#options;
    engine.takeFileFailure();
    try {
      await this.#ask((client) => client.call("SAVE"));
      if (this.#lastFailed) log.info("the data is kept again");
      this.#failedAt = Number.NEGATIVE_INFINITY;
      engine.noteSave(true);
    } catch (error) {
      const reason = engine.takeFileFailure() ?? error;
      if (!this.#lastFailed) log.error(`the data can not be saved: ${reasonOf(reason)}`);
      this.#failedAt = performance.now();
      engine.noteSave(false);
      throw reason;
    }
  }

  get #lastFailed(): boolean {
    return this.#failedAt > Number.NEGATIVE_INFINITY;
  }

  /** The engine asks within its step, and again until it was done. */
  #begin(): boolean {
    if (this.#running) return true;
    if (this.#paused || performance.now() - this.#failedAt < RETRY_AFTER_MS) return false;
    this.#running = this.#saveSoon().finally(() => {
      this.#running = undefined;
    });
    return true;
  }

  /** What somebody who holds the gate does is in it wholly or not at all. */
  async #saveSoon(): Promise<void> {
    const { gate } = this.#options;
    await new Promise((resolve) => setImmediate(resolve));
    await gate.hold(this, () => "a save of the data");
    try {
      // a failure is logged where it happens
      await this.save().catch(() => {});
    } finally {
      gate.release(this);
    }
  }

  #ask<T>(act: (client: EngineClient) => Promise<T>): Promise<T> {
    return withConnection(this.#options.connections, act);
  }
}
