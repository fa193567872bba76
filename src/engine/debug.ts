/**
 * DEBUG of the embedded engine. The engine lives in the server's process. So a subcommand that would end the engine, or spoil
 * the data or the files, is refused whatever the configuration says.
 */

/** Subcommands that look, wait, or change how the engine works without harm to anybody's data. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...["help", "digest", "digest-value", "error", "log", "object", "protocol", "sleep", "set-active-expire", "jmap"],
  ...["htstats", "htstats-key", "listpack", "quicklist", "sdslen", "structsize", "client-eviction", "change-repl-id"],
  ...["dict-resizing", "hashtable-can-abort-shrink", "client-enforce-reply-list", "replybuffer", "pause-cron"],
  ...["quicklist-packed-threshold", "stringmatch-len"],
]);
/** Subcommands that end the engine, or spoil its data or its files. */
const HARMFUL: ReadonlySet<string> = new Set([
  ...["segfault", "panic", "assert", "oom", "restart", "crash-and-recover", "leak", "reload", "loadaof", "replicate"],
  ...["config-rewrite-force-all", "aof-flush-sleep", "set-skip-checksum-validation", "set-disable-deny-scripts"],
  ...["drop-cluster-packet-filter", "close-cluster-link-on-packet-drop", "disable-cluster-random-ping"],
  ...["disable-cluster-reconnection", "clusterlink", "slotmigration", "force-free-primary-async", "protect-client"],
  ...["pause-after-fork", "delay-rdb-client-free-second", "stringmatch-test", "mallctl", "mallctl-str"],
]);
/** Most bytes that DEBUG POPULATE may ask for: `maxmemory` does not count for it. */
const MOST_POPULATED = 256 * 1024 ** 2;
/** Bytes that a key takes besides its name and value. */
const KEY_BYTES = 128;

/** Redis' words for a client that may not use it. */
const DEBUG_NOT_ALLOWED =
  'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local ' +
  "connection, otherwise you need to set this option in the configuration file, and then restart the server.";

/**
 * May the engine have this DEBUG command?
 * @param args with the name
 * @returns the text of the error reply, or undefined when it may
 */
export function debugRefusal(args: readonly Buffer[], allowed: boolean): string | undefined {
  const name = args[1]?.toString("latin1").toLowerCase();
  // the engine looks for missing arguments before anything else, and answers in its own words
  if (name === undefined) return undefined;
  if (!allowed) return DEBUG_NOT_ALLOWED;
  if (HARMLESS.has(name)) return undefined;
  if (name === "populate") return populates(args) ? undefined : "ERR DEBUG POPULATE of so many keys is not available";
  // a name that is in neither list does not reach the engine: a new one may be that of something harmful
  if (!HARMFUL.has(name)) return unknownSubcommand(args[1]);
  return `ERR DEBUG ${name.toUpperCase()} is not available: it could end the server, or damage its data`;
}

/** Redis' words for a subcommand that does not exist. */
const unknownSubcommand = (typed: Buffer | undefined): string =>
  `ERR unknown subcommand or wrong number of arguments for '${typed?.toString("latin1", 0, 128)}'. Try DEBUG HELP.`;

function populates(args: readonly Buffer[]): boolean {
  const [count = 0, size = 0] = [args[2], args[4]].map((arg) => Number(arg?.toString("latin1") ?? 0));
  const prefix = args[3]?.length ?? 0;
  return !(Math.abs(count) * (Math.abs(size) + prefix + KEY_BYTES) > MOST_POPULATED);
}
