/**
 * What must be known of engine commands beyond what the engine's COMMAND table tells (`engine-commands.ts`): one row per command,
 * and a command without a row has no trait. It is the one place to touch when an engine brings a command of such a kind.
 */

export interface Traits {
  /**
   * Clients log in or look around by this command, and it touches no data: it is served even while somebody holds the
   * engine.
   */
  readonly passesGate?: true;
  /** The command changes the state of its connection: a connection that several callers share must not get it. */
  readonly connection?: true;
  /** The command is carried out inside MULTI, too, and not queued. */
  readonly unqueued?: true;
  /** The command gives later commands another meaning: when it does not reach the engine, its client has to connect anew. */
  readonly commits?: true;
  /** After this command its connection gets messages that it has not asked for. */
  readonly feeds?: true;
  /** The command is confirmed once for each name among its arguments. */
  readonly confirms?: true;
  /** The command makes of its connection, or of the engine, one side of replication. */
  readonly replication?: true;
  /** The command ends the engine. */
  readonly ends?: true;
  /** The command changes somebody's rights, or who is let in. */
  readonly changesRights?: Form;
  /** The engine does not answer it. */
  readonly silent?: Form;
  /** The command reaches keys that its arguments do not name, with the rights of its connection. */
  readonly reachesFurther?: Form;
  /** The engine chooses the key that the command is about. */
  readonly choosesKey?: true;
  /** Each event of this command tells the type of its key; a number: with so many words. For others the engine is asked. */
  readonly tellsTypes?: true | number;
}

/**
 * The forms of a command that have a trait: all, or those for which the function gives true. `word` gives a word in lower
 * case.
 */
type Form = true | ((word: (at: number) => string, count: number) => boolean);

/** Has the command this form? @param args with its name */
export function hasForm(form: Form | undefined, args: readonly Uint8Array[]): boolean {
  return typeof form === "function" ? form((at) => wordOf(args[at]), args.length) : form === true;
}

/**
 * A command's name, or another word that has a meaning, in lower case. Of bytes that are too long for a word, the beginning.
 */
export function wordOf(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "";
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString("latin1", 0, LONGEST_WORD).toLowerCase();
}

const NONE: Traits = {};
/** More bytes than any word has that is known here. */
const LONGEST_WORD = 129;

/** @param name in lower case */
export const traitsOf = (name: string): Traits => TRAITS.get(name) ?? NONE;

const verb =
  (...names: readonly string[]): Form =>
  (word) =>
    names.includes(word(1));
const reply: Form = (word) => word(1) === "reply" && ["off", "skip"].includes(word(2));
const pattern: Form = (word, count) => {
  for (let at = 2; at < count; at++) if (word(at) === "by" || word(at) === "get") return true;
  return false;
};
const entrance = { connection: true, commits: true, passesGate: true } as const;
const way = { connection: true, unqueued: true } as const;
const listens = { feeds: true, confirms: true } as const;
const listensNoMore = { connection: true, confirms: true } as const;
const replicates = { feeds: true, unqueued: true, replication: true } as const;
const scripted = { reachesFurther: true } as const;
const sorted = { reachesFurther: pattern } as const;
const telling = { tellsTypes: true } as const;

/** By name in lower case. */
export const TRAITS: ReadonlyMap<string, Traits> = new Map<string, Traits>([
  // clients, connections and transactions
  ["auth", entrance],
  ["hello", entrance],
  ["select", entrance],
  ["client", { connection: true, passesGate: true, silent: reply }],
  ["quit", { ...way, passesGate: true }],
  ["reset", { ...way, passesGate: true }],
  ["multi", { ...way, commits: true }],
  ["watch", { ...way, commits: true }],
  ["exec", way],
  ["discard", way],
  ["unwatch", { connection: true }],
  ["readonly", { connection: true }],
  ["readwrite", { connection: true }],
  ["asking", { connection: true }],
  ["ping", { passesGate: true }],
  ["echo", { passesGate: true }],
  ["command", { passesGate: true }],
  ["info", { passesGate: true }],
  // subscriptions
  ["subscribe", listens],
  ["psubscribe", listens],
  ["ssubscribe", listens],
  ["unsubscribe", listensNoMore],
  ["punsubscribe", listensNoMore],
  ["sunsubscribe", listensNoMore],
  ["monitor", { feeds: true }],
  // replication
  ["sync", replicates],
  ["psync", replicates],
  ["replconf", { unqueued: true, replication: true, silent: verb("ack", "getack") }],
  ["replicaof", { replication: true }],
  ["slaveof", { replication: true }],
  // the server
  ["acl", { changesRights: verb("setuser", "deluser", "load") }],
  ["config", { changesRights: verb("set") }],
  ["shutdown", { ends: true }],
  // keys that no argument names
  ["eval", scripted],
  ["eval_ro", scripted],
  ["evalsha", scripted],
  ["evalsha_ro", scripted],
  ["fcall", scripted],
  ["fcall_ro", scripted],
  ["sort", sorted],
  ["sort_ro", sorted],
  ["randomkey", { choosesKey: true }],
  // data; SET with options has further events
  ["set", { tellsTypes: 3 }],
  ...[
    ...["mset", "msetnx", "setnx", "append", "setrange", "setbit", "incr", "incrby", "incrbyfloat", "decr", "decrby"],
    ...["hset", "hsetnx", "hmset", "hincrby", "hincrbyfloat", "lpush", "rpush", "lpushx", "rpushx", "linsert", "lset"],
    ...["lpop", "rpop", "lmove", "rpoplpush", "ltrim", "lrem", "sadd", "spop", "zadd", "zincrby", "zpopmin", "zpopmax"],
    ...["xadd", "xtrim", "xdel", "del", "unlink", "getdel", "pfadd"],
  ].map((name) => [name, telling] as const),
]);
