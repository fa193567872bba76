/**
 * The one table of options. The command line, the environment, the configuration file, `--help`, `RG.CONFIGGET` and
 * `RG.CONFIGSET` and the table of docs/options.md are all made from it.
 */

/** How an option is known to RedisGears, and therefore to `RG.CONFIGGET` and `RG.CONFIGSET`. */
export interface GearsName {
  readonly name: string;
  /** `core` keys are settable in any case; `python` keys are case-sensitive and visible to scripts once they were set. */
  readonly owner: "core" | "python";
  readonly runtime: boolean;
}

interface OptionBase {
  readonly section: "network" | "engine" | "executions" | "python" | "server" | "compatibility";
  readonly summary: string;
  readonly aliases?: readonly string[];
  readonly gears?: GearsName;
  /** The embedded engine has a setting of this name, and gets the value when it is not the default. */
  readonly engine?: true;
  /** The option is about the embedded engine without being a setting of it; it has no effect on an engine by URL. */
  readonly embedded?: true;
  /** A setting that says how the embedded engine keeps its data. The engine always gets the value, if there is a `dir`. */
  readonly stored?: true;
  /** The value is the path of a file or folder; a relative one begins where the program was started, whatever `dir` is. */
  readonly path?: true;
  /** Accepted because RedisGears has it; nothing in Regears depends on it. */
  readonly noEffect?: true;
}

/** `bytes` reads `64mb`; `megabytes` too, but a bare number counts megabytes. The values of both are bytes. */
export type OptionSpec = OptionBase &
  (
    | { readonly kind: "text"; readonly default: string }
    | { readonly kind: "choice"; readonly default: string; readonly choices: readonly string[] }
    | { readonly kind: "switch"; readonly default: boolean }
    | { readonly kind: "list"; readonly default: readonly string[] }
    | {
        readonly kind: "integer" | "bytes" | "megabytes";
        readonly default: number;
        readonly min?: number;
        readonly max?: number;
      }
  );

const core = (name: string, runtime: boolean): GearsName => ({ name, owner: "core", runtime });
const python = (name: string, runtime: boolean): GearsName => ({ name, owner: "python", runtime });

const KB = 1024;
const MB = 1024 * KB;
const GB = 1024 * MB;
const ANY_INTEGER = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER } as const;

/** All options in the order of the documentation. */
export const OPTIONS = {
  bind: { kind: "text", section: "network", default: "127.0.0.1", summary: "address to listen on; `0.0.0.0` for all" },
  port: {
    kind: "integer",
    section: "network",
    default: 6379,
    min: 0,
    max: 65535,
    summary: "TCP port; 0 takes a free one, or none at all when `unixsocket` or `tls-port` is given",
  },
  "protected-mode": {
    kind: "switch",
    section: "network",
    default: true,
    summary: "without a password only clients of this machine are served",
  },
  "tls-port": {
    kind: "integer",
    section: "network",
    default: 0,
    min: 0,
    max: 65535,
    summary: "TCP port with TLS; 0 is none. With `port 0` it is the only one",
  },
  "tls-cert-file": {
    kind: "text",
    section: "network",
    default: "",
    path: true,
    summary: "file with the certificate to show",
  },
  "tls-key-file": {
    kind: "text",
    section: "network",
    default: "",
    path: true,
    summary: "file with the key of that certificate",
  },
  "tls-ca-cert-file": {
    kind: "text",
    section: "network",
    default: "",
    path: true,
    summary: "file with the CA of the certificates of clients",
  },
  "tls-auth-clients": {
    kind: "choice",
    section: "network",
    default: "yes",
    choices: ["yes", "no", "optional"],
    summary: "whether clients must show a certificate of that CA; `optional`: it must be good if they show one",
  },
  unixsocket: { kind: "text", section: "network", default: "", summary: "path of a Unix socket to listen on as well" },
  maxclients: {
    kind: "integer",
    section: "network",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    summary: "clients served at once; more are refused",
  },
  timeout: {
    kind: "integer",
    section: "network",
    default: 0,
    min: 0,
    max: 2_147_483_647,
    summary: "seconds after which a client that does nothing is disconnected; 0: never",
  },
  "proto-max-bulk-len": {
    kind: "bytes",
    section: "network",
    default: 512 * MB,
    min: MB,
    max: 2 * GB - 1,
    engine: true,
    summary: "longest single argument of a request",
  },
  "client-query-buffer-limit": {
    kind: "bytes",
    section: "network",
    default: GB,
    min: MB,
    max: 4 * GB,
    summary: "most bytes of a client's requests held at once",
  },
  "client-output-limit": {
    kind: "bytes",
    section: "network",
    default: GB,
    min: MB,
    max: 4 * GB,
    summary:
      "most bytes of replies that the server makes or the engine holds for a client that does not read; beyond it the " +
      "client is closed",
  },

  engine: {
    kind: "text",
    section: "engine",
    default: "embedded",
    summary: "`embedded`, or the URL of a Redis-compatible server: `redis://`, `rediss://` or `unix://`",
  },
  "engine-tls-ca": {
    kind: "text",
    section: "engine",
    default: "",
    path: true,
    summary: "file with the CA of a `rediss://` engine",
  },
  "engine-tls-cert": {
    kind: "text",
    section: "engine",
    default: "",
    path: true,
    summary: "file with our certificate for it",
  },
  "engine-tls-key": {
    kind: "text",
    section: "engine",
    default: "",
    path: true,
    summary: "file with the key of that certificate",
  },
  "engine-tls-insecure": {
    kind: "switch",
    section: "engine",
    default: false,
    summary: "accept any certificate of a `rediss://` engine",
  },
  requirepass: {
    kind: "text",
    section: "engine",
    default: "",
    engine: true,
    summary: "password of the default user of the embedded engine",
  },
  user: {
    kind: "list",
    section: "engine",
    default: [],
    embedded: true,
    summary: "a user of the embedded engine and its rules, as for `ACL SETUSER`; may be given many times",
  },
  aclfile: {
    kind: "text",
    section: "engine",
    default: "",
    embedded: true,
    summary:
      "file with the users of the embedded engine, for `ACL SAVE` and `ACL LOAD`; without it users are kept in `dir`, at each change",
  },
  maxmemory: {
    kind: "bytes",
    section: "engine",
    default: 0,
    min: 0,
    max: 3 * GB,
    engine: true,
    summary: "most memory for data in the embedded engine; 0 is as much as it can address, 3gb",
  },
  "enable-debug-command": {
    kind: "choice",
    section: "engine",
    default: "no",
    choices: ["no", "yes", "local"],
    summary: "whether the embedded engine carries out DEBUG; `local`: for clients of this machine",
  },
  "maxmemory-policy": {
    kind: "choice",
    section: "engine",
    default: "noeviction",
    choices: [
      "noeviction",
      "allkeys-lru",
      "allkeys-lfu",
      "allkeys-random",
      "volatile-lru",
      "volatile-lfu",
      "volatile-random",
      "volatile-ttl",
    ],
    engine: true,
    summary: "which keys go when `maxmemory` is reached",
  },
  "notify-keyspace-events": {
    kind: "text",
    section: "engine",
    default: "",
    engine: true,
    summary: "keyspace events that clients can subscribe to, e.g. `KEA`",
  },
  "script-time-limit": {
    kind: "integer",
    section: "engine",
    default: 5000,
    min: 0,
    max: 2 ** 31 - 1,
    aliases: ["lua-time-limit", "busy-reply-threshold"],
    summary:
      "milliseconds after which whatever holds the engine is stopped: an `atomic()` block, a `sync` execution, a time event, an `onRegistered`, a Lua script in the embedded engine (looked at between two instructions of Lua, as in Redis: one call of `string.rep` or `string.find` is not cut short); 0 is never",
  },
  "execution-max-idle-time": {
    kind: "integer",
    section: "engine",
    default: 5000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    gears: core("ExecutionMaxIdleTime", true),
    summary: "milliseconds that an engine by URL may take for a script's command; then the execution is stopped",
  },

  "execution-threads": {
    kind: "integer",
    section: "executions",
    default: 3,
    min: 1,
    max: 256,
    gears: core("ExecutionThreads", false),
    summary: "Python interpreters, and so executions running at once",
  },
  "executions-on-top": {
    kind: "integer",
    section: "executions",
    default: 8,
    min: 0,
    max: 8,
    summary:
      "executions that may run in an interpreter while others of it sleep or wait for a reply, on top of these; 0: none does",
  },
  "max-executions": {
    kind: "integer",
    section: "executions",
    default: 1000,
    ...ANY_INTEGER,
    gears: core("MaxExecutions", true),
    summary: "finished executions kept, the least recently used go first; 0 or less keeps all",
  },
  "max-executions-per-registration": {
    kind: "integer",
    section: "executions",
    default: 100,
    ...ANY_INTEGER,
    gears: core("MaxExecutionsPerRegistration", true),
    summary: "finished executions kept for each registration; 0 or less keeps all",
  },
  "profile-executions": {
    kind: "integer",
    section: "executions",
    default: 0,
    ...ANY_INTEGER,
    gears: core("ProfileExecutions", true),
    summary: "not 0: steps are timed and callbacks profiled",
  },
  "execution-timeout": {
    kind: "integer",
    section: "executions",
    default: 0,
    min: 0,
    max: 2 ** 31 - 1,
    gears: core("ExecutionTimeout", true),
    summary:
      "milliseconds of running after which an execution is stopped, or code in the background that does not let others run; 0 is never",
  },
  "slow-execution-ms": {
    kind: "integer",
    section: "executions",
    default: 0,
    min: 0,
    max: 2 ** 31 - 1,
    gears: core("SlowExecutionMs", true),
    summary: "milliseconds after which an execution that has ended is logged as slow; 0 is never",
  },
  "max-script-size": {
    kind: "bytes",
    section: "executions",
    default: 16 * MB,
    min: KB,
    max: 2 * GB - 1,
    summary: "longest script that `RG.PYEXECUTE` takes",
  },
  "max-pending-executions": {
    kind: "integer",
    section: "executions",
    default: 10_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    summary:
      "unfinished executions above which scripts, and `run()` in steps and callbacks, are refused; what registrations start is never refused",
  },
  "max-waiting-executions": {
    kind: "integer",
    section: "executions",
    default: 10_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    summary: "executions that may wait for coroutines and futures at a time; more are stopped with an error",
  },
  "max-registrations": {
    kind: "integer",
    section: "executions",
    default: 10_000,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    summary:
      "registrations there may be at a time, and time events of each user; more fail with an error in the script",
  },
  "max-results-memory": {
    kind: "bytes",
    section: "executions",
    default: 256 * MB,
    min: 0,
    max: 64 * GB,
    gears: core("MaxResultsMemory", true),
    summary: "most bytes of kept results; the least recently used go first; 0 is no limit",
  },
  "max-execution-results": {
    kind: "bytes",
    section: "executions",
    default: 512 * MB,
    min: 0,
    max: 64 * GB,
    summary: "bytes of results above which an execution is stopped, and has none; 0 is no limit",
  },

  isolation: {
    kind: "choice",
    section: "python",
    default: "shared",
    choices: ["shared", "session"],
    summary: "whether sessions may share an interpreter, or each has one that no other session has ever used",
  },
  "max-interpreters": {
    kind: "integer",
    section: "python",
    default: 16,
    min: 2,
    max: 256,
    summary: "with `isolation session`: most interpreters at a time; one is kept ready for the next session",
  },
  "python-memory-limit": {
    kind: "megabytes",
    section: "python",
    default: 512 * MB,
    min: 64 * MB,
    max: 4 * GB,
    summary: "memory of one interpreter; more is a `MemoryError` in the script",
  },
  "python-memfs-limit": {
    kind: "megabytes",
    section: "python",
    default: 64 * MB,
    min: MB,
    max: 2 * GB,
    summary: "size of an interpreter's file system, which lives in memory",
  },
  "python-attempt-traceback": {
    kind: "switch",
    section: "python",
    default: true,
    gears: python("PythonAttemptTraceback", true),
    summary: "errors of scripts carry a traceback",
  },
  "python-install-req-max-idle-time": {
    kind: "integer",
    section: "python",
    default: 30_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    gears: python("PythonInstallReqMaxIdleTime", true),
    summary: "milliseconds without progress after which installing requirements fails",
  },
  "packages-dir": {
    kind: "text",
    section: "python",
    default: "",
    path: true,
    summary: "folder of wheels, the first place where requirements are looked for",
  },
  "pyodide-packages": {
    kind: "text",
    section: "python",
    default: "",
    summary:
      "folder or URL of the packages that are built for this Pyodide; `no` is none, empty is where Pyodide gets them itself",
  },
  "index-url": {
    kind: "text",
    section: "python",
    default: "",
    summary: "URL of a package index; `no` is none, empty is that of the variable `PIP_INDEX_URL`, if there is one",
  },
  "max-packages-size": {
    kind: "bytes",
    section: "python",
    default: 512 * MB,
    min: MB,
    max: 2 * GB - 1,
    summary: "most bytes that one installation of requirements downloads",
  },
  "packages-cache-size": {
    kind: "bytes",
    section: "python",
    default: 4 * GB,
    min: 0,
    max: 1024 * GB,
    summary:
      "most bytes of packages in the cache; those that were used longest ago go first, never what a session uses; 0 is any number",
  },
  preload: {
    kind: "list",
    section: "python",
    default: [],
    summary:
      "requirements, separated by commas, that are installed at the start: all interpreters have them, already imported; may be given many times",
  },
  "allow-connect": {
    kind: "list",
    section: "python",
    default: [],
    summary:
      "`host:port`, where scripts may connect to, separated by commas: names, addresses, networks (`10.0.0.0/8:5432`), IPv6 in brackets, `*:5432`; may be given many times, empty is nowhere",
  },
  "allow-connect-users": {
    kind: "list",
    section: "python",
    default: [],
    summary: "users, separated by commas, whose scripts may connect although they have not all rights",
  },
  "max-connections-per-interpreter": {
    kind: "integer",
    section: "python",
    default: 64,
    min: 1,
    max: 65_536,
    summary: "connections that scripts in one interpreter may have open at a time",
  },
  "connection-buffer": {
    kind: "bytes",
    section: "python",
    default: 256 * KB,
    min: 16 * KB,
    max: 64 * MB,
    summary: "most bytes that a connection of a script holds unread, and most that it holds unsent",
  },
  "connection-ca-file": {
    kind: "text",
    section: "python",
    default: "",
    path: true,
    summary: "file with CAs that scripts' connections of TLS trust besides those that Node.js brings",
  },
  "gears-option": {
    kind: "list",
    section: "python",
    default: [],
    summary: "`name=value`, an option for scripts to read with `configGet`; may be given many times",
  },

  "metrics-port": {
    kind: "integer",
    section: "server",
    default: 0,
    min: 0,
    max: 65535,
    summary: "HTTP port of `/metrics` (for Prometheus) and `/healthz`; 0 is none",
  },
  "metrics-bind": { kind: "text", section: "server", default: "127.0.0.1", summary: "address of that port" },
  "http-port": {
    kind: "integer",
    section: "server",
    default: 0,
    min: 0,
    max: 65535,
    summary: "HTTP port of the console, a page for browsers; 0 is none",
  },
  "http-bind": { kind: "text", section: "server", default: "127.0.0.1", summary: "address of that port" },
  "http-host": {
    kind: "list",
    section: "server",
    default: [],
    summary: "name by which browsers reach the console, besides addresses and `localhost`; may be given many times",
  },
  "http-tls": {
    kind: "switch",
    section: "server",
    default: false,
    summary: "the console's port speaks TLS, with `tls-cert-file` and `tls-key-file`",
  },
  "cache-dir": {
    kind: "text",
    section: "server",
    default: "",
    path: true,
    summary: "where the prepared Python image is kept between starts; empty is the user's cache directory",
  },
  dir: {
    kind: "text",
    section: "server",
    default: "",
    summary: "directory where registrations and data are kept over restarts; empty keeps nothing",
  },
  repair: {
    kind: "switch",
    section: "server",
    default: false,
    summary:
      "for one start: what can not be read of damaged files in `dir` is set aside, and the server goes on with the rest; otherwise it does not start",
  },
  "skip-module-data": {
    kind: "switch",
    section: "server",
    default: false,
    embedded: true,
    summary:
      "data of modules in a dump are left out; otherwise the server does not start, but with those of RedisGears",
  },
  save: {
    kind: "text",
    section: "server",
    default: "3600 1 300 100 60 10000",
    stored: true,
    summary: "with `dir`: data are saved after so many seconds if so many keys have changed; empty is never",
  },
  dbfilename: {
    kind: "text",
    section: "server",
    default: "dump.rdb",
    stored: true,
    summary: "file in `dir` that data are saved to and loaded from, in the format of Redis and Valkey",
  },
  appendonly: {
    kind: "switch",
    section: "server",
    default: false,
    stored: true,
    summary: "with `dir`: each change of the data is written to a log at once, which is loaded at the start",
  },
  appendfsync: {
    kind: "choice",
    section: "server",
    default: "everysec",
    choices: ["always", "everysec", "no"],
    stored: true,
    summary:
      "when that log is on the disk: before each reply (`always`), each second, or when the system likes to (`no`)",
  },
  appenddirname: {
    kind: "text",
    section: "server",
    default: "appendonlydir",
    stored: true,
    summary: "folder in `dir` with the files of that log",
  },
  appendfilename: {
    kind: "text",
    section: "server",
    default: "appendonly.aof",
    stored: true,
    summary: "what the names of these files begin with",
  },
  "auto-aof-rewrite-percentage": {
    kind: "integer",
    section: "server",
    default: 100,
    min: 0,
    max: 2 ** 31 - 1,
    stored: true,
    summary: "growth of the log, in percent, at which it is written anew; 0 is never",
  },
  "auto-aof-rewrite-min-size": {
    kind: "bytes",
    section: "server",
    default: 64 * MB,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    stored: true,
    summary: "size of the log below which that does not happen",
  },
  loglevel: {
    kind: "choice",
    section: "server",
    default: "notice",
    choices: ["debug", "verbose", "notice", "warning"],
    summary: "least important messages that are logged",
  },
  "gears-compat": {
    kind: "choice",
    section: "server",
    default: "1.2.13",
    choices: ["1.2.13", "1.2.1"],
    summary:
      "RedisGears whose registrations are shown; `1.2.1` has fewer fields, for clients that refuse others (redgrease)",
  },
  "test-clock": {
    kind: "switch",
    section: "server",
    default: false,
    summary:
      "`RG.TIME FASTFORWARD` moves the clock of time events, durations of streams and, in the embedded engine, expiry of keys; for tests",
  },
  "script-log-rate": {
    kind: "integer",
    section: "server",
    default: 1_000,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    summary:
      "lines a second that all scripts together may log or print, of 1 KB each: a longer one counts as several; the rest is dropped and counted; 0 is no limit",
  },
  logfile: { kind: "text", section: "server", default: "", summary: "file to log to; empty is standard output" },

  "send-msg-retries": {
    kind: "integer",
    section: "compatibility",
    default: 3,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    gears: core("SendMsgRetries", true),
    noEffect: true,
    summary: "attempts to send a message between a cluster's nodes",
  },
  plugin: {
    kind: "list",
    section: "compatibility",
    default: [],
    gears: core("Plugin", false),
    noEffect: true,
    summary: "native plugins",
  },
  "create-venv": {
    kind: "switch",
    section: "compatibility",
    default: false,
    gears: python("CreateVenv", false),
    noEffect: true,
    summary: "Python in a virtual environment",
  },
  "download-deps": {
    kind: "switch",
    section: "compatibility",
    default: false,
    gears: python("DownloadDeps", false),
    noEffect: true,
    summary: "download Python at start",
  },
  "forece-download-deps-on-enterprise": {
    kind: "switch",
    section: "compatibility",
    default: false,
    gears: python("ForeceDownloadDepsOnEnterprise", false),
    noEffect: true,
    summary: "download Python at start on Redis Enterprise",
  },
  "override-python-allocators": {
    kind: "switch",
    section: "compatibility",
    default: true,
    gears: python("OverridePythonAllocators", false),
    noEffect: true,
    summary: "Python uses the allocators of the server",
  },
  "dependencies-url": {
    kind: "text",
    section: "compatibility",
    default: "",
    gears: python("DependenciesUrl", false),
    noEffect: true,
    summary: "where Python is downloaded from",
  },
  "dependencies-sha256": {
    kind: "text",
    section: "compatibility",
    default: "",
    gears: python("DependenciesSha256", false),
    noEffect: true,
    summary: "checksum of that download",
  },
  "python-installation-dir": {
    kind: "text",
    section: "compatibility",
    default: "/var/opt/redislabs/modules/rg",
    gears: python("PythonInstallationDir", false),
    noEffect: true,
    summary: "directory of the Python installation",
  },
} as const satisfies Record<string, OptionSpec>;

export type OptionName = keyof typeof OPTIONS;

type Camel<S extends string> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type ValueOf<Spec> = Spec extends { kind: "choice"; choices: readonly (infer Choice)[] }
  ? Choice
  : Spec extends { kind: "text" }
    ? string
    : Spec extends { kind: "switch" }
      ? boolean
      : Spec extends { kind: "list" }
        ? readonly string[]
        : number;

/** The start values of all options, by camel-case name; amounts of memory are bytes. */
export type Config = {
  readonly [Name in OptionName as Camel<Name>]: ValueOf<(typeof OPTIONS)[Name]>;
} & {
  /** Further settings for the embedded engine, as they stood in a Redis configuration. */
  readonly engineSettings: Readonly<Record<string, string>>;
  /** Absolute path of the configuration file that was read; empty: there is none. CONFIG REWRITE changes it. */
  readonly configFile: string;
};

export type OptionValue = string | number | boolean | readonly string[];

/** All options as `[name, spec]`, in documentation order. */
export const optionEntries = Object.entries(OPTIONS) as readonly (readonly [OptionName, OptionSpec])[];

/** `max-executions` → `maxExecutions`. */
export const camelCase = (name: string): keyof Config =>
  name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as keyof Config;

/**
 * The option a user means by `name`: its own name in any case, an alias, or the name RedisGears gives it.
 * @returns undefined when there is none.
 */
export function findOption(name: string): readonly [OptionName, OptionSpec] | undefined {
  const lower = name.toLowerCase();
  return optionEntries.find(
    ([own, spec]) => own === lower || spec.aliases?.includes(lower) || spec.gears?.name.toLowerCase() === lower,
  );
}
