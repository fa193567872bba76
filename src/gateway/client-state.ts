/** What the gateway knows of a client's connection, all of it learned from the engine's replies. */
import { DEFAULT_USER } from "../engine/user-rights.ts";
import type { Protocol } from "../resp/reply.ts";
import type { Transaction } from "./transaction.ts";

/** The first version of Valkey that reads the engine's dumps; the one before does not say which it is. */
const OLDEST_REPLICA = 9;

export class ClientState {
  protocol: Protocol = 2;
  database = 0;
  /** The arguments of the AUTH that made the client who it is. */
  credentials: readonly Buffer[] | undefined;
  transaction: Transaction | undefined;
  monitoring = false;
  /** It is told when keys change that it may have kept. */
  tracks = false;
  /** It is a replica, or wants to be one. */
  replicates = false;
  /** What it has told of itself with REPLCONF, by words in lower case. */
  readonly toldAsReplica = new Map<string, string>();
  /** `CLIENT REPLY`; `skip` lasts for one reply. */
  replies: "on" | "off" | "skip" = "on";
  /** Subscriptions by what they name. Redis counts channels and patterns together, shard channels apart. */
  channels = 0;
  patterns = 0;
  shards = 0;

  /** The engine's user that the client is; one that never said so is `default`. */
  get user(): string {
    const [name] = this.credentials ?? [];
    return this.credentials?.length === 1 || name === undefined ? DEFAULT_USER : name.toString();
  }

  /** Is it a server of another version, which could not read what a replica is sent? Programs that only fetch that have no port. */
  get isOldReplica(): boolean {
    const told = this.toldAsReplica;
    return told.has("listening-port") && (Number.parseInt(told.get("version") ?? "", 10) || 0) < OLDEST_REPLICA;
  }

  /** In RESP2 a subscriber may only change subscriptions, PING, QUIT and RESET. */
  get restricted(): boolean {
    return this.protocol === 2 && this.subscribed;
  }

  /** Does it get what it has not asked for just now? */
  get listens(): boolean {
    return this.monitoring || this.subscribed || this.replicates;
  }

  get subscribed(): boolean {
    return this.channels + this.patterns + this.shards > 0;
  }

  /** How many confirmations an unsubscription without names will have. */
  confirmations(verb: string): number {
    const count = verb === "unsubscribe" ? this.channels : verb === "punsubscribe" ? this.patterns : this.shards;
    return Math.max(1, count);
  }

  /** Takes note of a confirmation: its verb and the number of subscriptions it tells. */
  confirmed(verb: string, total: number): void {
    if (verb.startsWith("s") && verb !== "subscribe") this.shards = total;
    else if (verb.startsWith("p")) this.patterns = Math.max(0, total - this.channels);
    else this.channels = Math.max(0, total - this.patterns);
  }

  /** RESET: a connection as new. */
  reset(): void {
    Object.assign(this, new ClientState());
  }
}
