/**
 * What becomes of options that Redis has and Regears does not: people start Regears with their `redis.conf` and their
 * `redis-server` arguments. Tuning of data types and clients is passed to the embedded engine; what has no meaning here is
 * ignored, with a warning where data or behaviour suffer; what would silently weaken or change the setup is refused.
 */

const ENGINE_SETTINGS = new RegExp(
  `^(${[
    "(hash|list|set|zset|stream|hll)-(max|node-max|compress|sparse-max)-.*",
    "list-compress-depth",
    "maxmemory-(clients|samples|eviction-tenacity)",
    "lfu-(decay-time|log-factor)",
    "lazyfree-lazy-.*",
    "active-expire-effort",
    "activerehashing",
    "slowlog-.*",
    "commandlog-.*",
    "latency-.*",
    "acllog-max-len",
    "acl-pubsub-default",
    "tracking-table-max-keys",
    "client-output-buffer-limit",
    "hz",
    "sanitize-dump-payload",
    "rdbcompression|rdbchecksum|rdb-save-incremental-fsync",
    "aof-(load-truncated|use-rdb-preamble|timestamp-enabled|rewrite-incremental-fsync)|no-appendfsync-on-rewrite",
  ].join("|")})$`,
);

/** Options without effect of which the person should know; the server starts all the same. */
const MISSED: readonly { readonly names: RegExp; readonly harmless: readonly string[]; readonly why: string }[] = [
  { names: /^databases$/, harmless: ["16"], why: "the embedded engine always has 16" },
  { names: /^unixsocketperm$/, harmless: [], why: "the socket gets the permissions of the process's umask" },
];

const IGNORED = new RegExp(
  `^(${[
    "(rdb|stop-writes|key-load).*",
    "(repl|replica|slave|min-replicas|min-slaves)-.*",
    "masterauth|masteruser|primaryauth|primaryuser",
    "tcp-(backlog|keepalive)",
    "daemonize|supervised|pidfile|always-show-logo|set-proc-title|proc-title-template|locale-collate",
    "syslog-.*|crash-.*|oom-score-adj.*|disable-thp|dynamic-hz|jemalloc-bg-thread|activedefrag|active-defrag-.*",
    "io-threads.*|(server|bio|aof[-_]rewrite|bgsave)[-_]cpulist|shutdown-.*|propagation-error-behavior",
    "ignore-warnings|hide-user-data-from-log|extended-redis-compatibility|port-sentinel",
    "cluster-(?!enabled$).*|enable-(module|protected).*|tls-.*|bind-source-addr|unixsocketgroup|socket-mark-id",
  ].join("|")})$`,
);

const REFUSED: readonly { readonly names: RegExp; readonly harmless: readonly string[]; readonly why: string }[] = [
  { names: /^(replicaof|slaveof)$/, harmless: ["no one"], why: "Regears is no replica" },
  { names: /^cluster-enabled$/, harmless: ["no"], why: "Regears is a single node" },
  {
    names: /^tls-(key-file-pass|ca-cert-dir|protocols|ciphers|ciphersuites|dh-params-file)$/,
    harmless: [""],
    why: "Regears does not read it: give key and CA as plain files, protocols are TLS 1.2 and 1.3",
  },
  { names: /^loadmodule$/, harmless: [], why: "native modules can not be loaded; RedisGears' Python is built in" },
  { names: /^rename-command$/, harmless: [], why: "forbid commands with ACL SETUSER instead" },
  { names: /^include$/, harmless: [], why: "give one complete file" },
];

/** What to do with an option of Redis. */
type RedisDirective =
  | { readonly action: "engine"; readonly value: string }
  | { readonly action: "gears"; readonly pairs: readonly (readonly [string, string])[] }
  | { readonly action: "ignore"; readonly warning?: string }
  | { readonly action: "refuse"; readonly reason: string };

/**
 * Judges an option of Redis that Regears does not have.
 * @param name its name, lower case.
 * @returns undefined when Redis has no such option.
 */
export function judgeRedisDirective(name: string, values: readonly string[]): RedisDirective | undefined {
  const value = values.join(" ");
  if (ENGINE_SETTINGS.test(name)) return { action: "engine", value };
  if (name === "loadmodule" && /gears/i.test(values[0] ?? "")) return gearsModule(values.slice(1));
  const refused = REFUSED.find(({ names }) => names.test(name));
  if (refused && !refused.harmless.includes(value.toLowerCase())) return { action: "refuse", reason: refused.why };
  const missed = MISSED.find(({ names }) => names.test(name));
  if (missed && !missed.harmless.includes(value.toLowerCase()))
    return { action: "ignore", warning: `${name} ${value} has no effect: ${missed.why}` };
  return refused || missed || IGNORED.test(name) ? { action: "ignore" } : undefined;
}

/** The arguments RedisGears took as a module are `name value` pairs. */
function gearsModule(args: readonly string[]): RedisDirective {
  const pairs: [string, string][] = [];
  for (let at = 0; at < args.length; at += 2) {
    const [name = "", value] = args.slice(at, at + 2);
    if (value === undefined) return { action: "refuse", reason: `the module's option ${name} has no value` };
    pairs.push([name, value]);
  }
  return { action: "gears", pairs };
}
