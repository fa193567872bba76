/**
 * SAVE, BGSAVE, LASTSAVE, SHUTDOWN and INFO as clients know them, for the embedded engine, which can not save by itself.
 * The engine gets them nevertheless: it checks rights and arguments, and fails in a way that is known.
 */
import { after, type Handling, type Middleware, type Next, type RequestView } from "../commands/path.ts";
import type { InternalConnections } from "../engine/internal.ts";
import { encodeCommand } from "../engine/encode.ts";
import type { EngineGate } from "../engine/gate.ts";
import { scalarBytes } from "../resp/frames.ts";
import { error, integer, raw, type Reply, status } from "../resp/reply.ts";
import { type DataSnapshots, SaveInProgress } from "./data.ts";
import { reasonOf } from "./disk.ts";

interface SaveCommandsOptions {
  readonly snapshots: DataSnapshots;
  readonly connections: Pick<InternalConnections, "open">;
  readonly gate: EngineGate;
  /** Is there a schedule, so that SHUTDOWN without arguments saves? */
  readonly scheduled: boolean;
}

/** What the engine answers because it can not write a file. */
const CAN_NOT_SAVE = "-ERR\r\n";
const CAN_NOT_EXIT = "-ERR Errors trying to SHUTDOWN";
const SCHEDULED = "+Background saving scheduled";

const IN_PROGRESS = error("ERR Background save already in progress");
const NOT_IN_TRANSACTIONS = error("ERR Command 'shutdown' not allowed inside a transaction");

export class SaveCommands implements Middleware {
  readonly of = ["client"] as const;
  readonly active = false;
  readonly always = ["save", "bgsave", "lastsave", "shutdown", "info"];
  readonly #options: SaveCommandsOptions;

  constructor(options: SaveCommandsOptions) {
    this.#options = options;
  }

  handle(name: string, request: RequestView): Handling | undefined {
    const { snapshots } = this.#options;
    switch (name) {
      case "save":
        return after((reply) => (reply.toString() === CAN_NOT_SAVE ? this.#save() : undefined));
      case "bgsave":
        return after((reply) => this.#saveInBackground(reply.toString()));
      case "lastsave":
        return after((reply) => (reply[0] === COLON ? integer(seconds(snapshots.status.lastSave)) : undefined));
      case "shutdown":
        return this.#shutdown(request);
      case "info":
        return after((reply) => this.#info(reply));
      default:
        return undefined;
    }
  }

  async #save(): Promise<Reply> {
    try {
      await this.#options.snapshots.save(true);
      return status("OK");
    } catch (reason) {
      return reason instanceof SaveInProgress
        ? IN_PROGRESS
        : error(`ERR the data can not be saved: ${reasonOf(reason)}`);
    }
  }

  async #saveInBackground(reply: string): Promise<Reply | undefined> {
    const { snapshots, connections } = this.#options;
    const scheduled = reply.startsWith(SCHEDULED);
    if (!scheduled && reply !== CAN_NOT_SAVE) return undefined;
    if (scheduled) {
      // In a transaction the engine plans it for later, and would try again and again.
      const client = connections.open();
      await client.call("BGSAVE", "CANCEL").catch(() => {});
      client.close();
    }
    if (snapshots.status.saving) return scheduled ? undefined : IN_PROGRESS;
    // A failure is logged where it happens.
    snapshots.save(false).catch(() => {});
    return scheduled ? undefined : status("Background saving started");
  }

  #shutdown(request: RequestView): Handling | undefined {
    const words = Array.from({ length: Math.min(request.count, 8) - 1 }, (_, index) =>
      request
        .view(index + 1)
        .toString("latin1")
        .toLowerCase(),
    );
    const saves = words.includes("save") || (this.#options.scheduled && !words.includes("nosave"));
    if (!saves || !words.every((word) => ["save", "now", "force"].includes(word))) return undefined;
    return {
      way: "instead",
      run: ({ canWait }, next) => (canWait ? this.#saveAndExit(next, words.includes("force")) : NOT_IN_TRANSACTIONS),
    };
  }

  /** Nobody writes between the snapshot and the engine's end. Without a snapshot it goes on, unless it is forced. */
  async #saveAndExit(next: Next, force: boolean): Promise<Reply> {
    const { gate, snapshots, connections } = this.#options;
    // Told to save, the engine refuses to exit: there is still time to do so.
    const reply = await next(encodeCommand(["SHUTDOWN", "SAVE"]));
    if (!reply.toString().startsWith(CAN_NOT_EXIT)) return raw(reply);
    await gate.hold(this, () => "SHUTDOWN SAVE");
    try {
      const saved = await snapshots.saveLast(this).then(
        () => true,
        () => false,
      );
      // The engine's end closes all its connections, and with them those of the clients.
      if (saved || force) {
        const client = connections.open();
        await client.call("SHUTDOWN", "NOSAVE", "FORCE").catch(() => {});
      }
    } finally {
      gate.release(this);
    }
    return raw(reply);
  }

  /** Puts our figures in the place of the engine's. */
  async #info(reply: Buffer): Promise<Reply | undefined> {
    const text = scalarBytes(reply)?.toString("latin1");
    if (!text?.includes("rdb_changes_since_last_save:")) return undefined;
    const { saving, lastSave, lastFailed, lastTookMs } = this.#options.snapshots.status;
    const figures: Record<string, string | number> = {
      rdb_changes_since_last_save: await this.#options.snapshots.changes(),
      rdb_bgsave_in_progress: saving ? 1 : 0,
      rdb_last_save_time: seconds(lastSave),
      rdb_last_bgsave_status: lastFailed ? "err" : "ok",
      rdb_last_bgsave_time_sec: lastTookMs === undefined ? -1 : Math.floor(lastTookMs / 1000),
    };
    const changed = text.replace(/^(rdb_\w+):.*?(?=\r?$)/gm, (line, name: string) =>
      figures[name] === undefined ? line : `${name}:${figures[name]}`,
    );
    // A verbatim string (RESP3) counts its three letters and colon.
    const verbatim = reply[0] === EQUALS;
    const head = verbatim ? `=${changed.length + 4}\r\ntxt:` : `$${changed.length}\r\n`;
    return raw(Buffer.from(`${head}${changed}\r\n`, "latin1"));
  }
}

const COLON = 58;
const EQUALS = 61;

const seconds = (ms: number): number => Math.floor(ms / 1000);
