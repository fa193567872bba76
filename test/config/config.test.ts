import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type Config, ConfigError, completeConfig, engineConfig, helpText, loadStart } from "../../src/config.ts";
import { OPTIONS, optionEntries } from "../../src/config/options.ts";
import { splitWords } from "../../src/config/config-words.ts";
import { formatValue, parseBytes, parseInteger, parseSwitch, parseValue } from "../../src/config/values.ts";
import { newFolder } from "../support/folders.ts";

const folder = newFolder();
let files = 0;
const file = (text: string): string => {
  const path = join(folder, `${files++}.conf`);
  writeFileSync(path, text);
  return path;
};
const config = (args: string[], env: Record<string, string> = {}): Config => loadStart(args, env).config;
const failure = (args: string[], env: Record<string, string> = {}): string => {
  try {
    loadStart(args, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("the configuration was accepted");
};

describe("the command line", () => {
  it("takes values after a blank, after an equals sign and without dashes", () => {
    expect(config(["--port", "7000"]).port).toBe(7000);
    expect(config(["--port=7000"]).port).toBe(7000);
    expect(config(["port", "7000", "--maxclients", "5"])).toMatchObject({ port: 7000, maxclients: 5 });
    expect(config(["--requirepass=a=b"]).requirepass).toBe("a=b");
    expect(config(["--PORT", "7001"]).port).toBe(7001);
  });

  it("takes the names and the module arguments of RedisGears", () => {
    expect(config(["MaxExecutions", "500", "--executionthreads", "2"])).toMatchObject({
      maxExecutions: 500,
      executionThreads: 2,
    });
    const given = config(["--loadmodule", "/opt/redisgears.so", "MaxExecutions", "5", "foo", "bar", "--port", "1"]);
    expect(given).toMatchObject({ maxExecutions: 5, gearsOption: ["foo=bar"], port: 1 });
  });

  it("collects options for scripts, and shows them Python options that were set", () => {
    const given = config(["--gears-option", "a=1", "--gears-option=b=x=y", "--gears-option", "a=2"]);
    expect(given.gearsOption).toEqual(["a=2", "b=x=y"]);
    expect(config(["--python-attempt-traceback", "0"])).toMatchObject({
      pythonAttemptTraceback: false,
      gearsOption: ["PythonAttemptTraceback=0"],
    });
    expect(config(["--gears-option", "maxexecutions=7"])).toMatchObject({ maxExecutions: 7, gearsOption: [] });
  });

  it("counts the limits of Python in megabytes when no unit is given", () => {
    expect(config(["--python-memory-limit", "256", "--python-memfs-limit", "1gb"])).toMatchObject({
      pythonMemoryLimit: 256 * 1024 ** 2,
      pythonMemfsLimit: 1024 ** 3,
    });
  });

  it("takes an option and its values in one argument, as redis-server does", () => {
    expect(config(["--requirepass secret"]).requirepass).toBe("secret");
    expect(config(['--requirepass "two words"', "--port 7000"])).toMatchObject({
      requirepass: "two words",
      port: 7000,
    });
    expect(config(["--save 60 1 ", "--maxclients", "5"])).toMatchObject({ save: "60 1", maxclients: 5 });
    expect(config(["--save 60", "1"]).save).toBe("60 1");
    expect(config(["--requirepass=two words"]).requirepass).toBe("two words");
    expect(failure(["--requirepass two words"])).toBe("option 'requirepass' takes one value, not 2");
    expect(failure(['--requirepass "open'])).toBe("unbalanced quotes");
  });

  it("takes users, each with all its rules", () => {
    const two = ["alice on >a ~* +@all", 'bob on ">two words"'];
    expect(
      config(["--user", "alice", "on", ">a", "~*", "+@all", "--user bob on '>two words'", "--port", "1"]).user,
    ).toEqual(two);
    expect(config([file(`user ${two[0]}\nuser ${two[1]}\n`)]).user).toEqual(two);
    expect(config([], { REGEARS_USER: two.join("\n") }).user).toEqual(two);
    expect(config([file(`user ${two[0]}\n`), "--user bob", "on", ">two words"]).user).toEqual(two);
    expect(failure(["--user", "a", "--user", "a"])).toBe("user 'a' is defined twice: once must do");
    expect(failure(["--user", "a", "--aclfile", "x"])).toContain("users are given by `user` and by `aclfile`");
  });

  it("knows its actions", () => {
    for (const action of ["help", "version", "snapshot", "healthcheck"])
      expect(loadStart([`--${action}`, "--port", "7"], {}).action).toBe(action);
    expect(loadStart([], {}).action).toBe("serve");
  });

  it.each([
    [["--prot", "1"], "unknown option 'prot'; did you mean 'port'?"],
    [["--frobnicate"], "unknown option 'frobnicate'"],
    [["-p", "6380"], "unknown option '-p'"],
    [["--port"], "option 'port' needs a value"],
    [["--port", "--bind", "::"], "option 'port' needs a value"],
    [["--port", "x"], "option 'port': 'x' is not a whole number"],
    [["--port", "65536"], "option 'port': '65536' is too large, the most is 65535"],
    [["--python-memory-limit", "1"], "option 'python-memory-limit': '1' is too small, the least is 64mb"],
    [["--maxmemory", "1x"], "option 'maxmemory': '1x' is not an amount of memory such as 64mb"],
    [["--loglevel", "loud"], "option 'loglevel': 'loud' is none of debug, verbose, notice, warning"],
    [["--python-attempt-traceback", "maybe"], "'maybe' is neither yes nor no"],
    [["--gears-option", "novalue"], "'novalue' is not of the form name=value"],
    [["--config"], "option '--config' needs a file name"],
    [["--port", "1", "stray"], "unknown option 'stray'"],
    [["--bind", "127.0.0.1", "::1"], "option 'bind' takes one address"],
  ])("refuses %j", (args, text) => {
    expect(failure(args)).toContain(text);
  });
});

describe("options of redis-server", () => {
  it("passes tuning to the embedded engine", () => {
    const given = config([
      ...["--hash-max-listpack-entries", "64", "--acllog-max-len", "300", "--slowlog-log-slower-than", "1000"],
      ...["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru", "--requirepass", "secret"],
      ...["--client-output-buffer-limit", "normal", "0", "0", "0"],
    ]);
    expect(engineConfig(given)).toEqual({
      save: "",
      "hash-max-listpack-entries": "64",
      "acllog-max-len": "300",
      "slowlog-log-slower-than": "1000",
      "client-output-buffer-limit": "normal 0 0 0",
      maxmemory: "67108864",
      "maxmemory-policy": "allkeys-lru",
      requirepass: "secret",
    });
    expect(engineConfig(completeConfig())).toEqual({ save: "" });
  });

  it("tells the embedded engine how to keep data when there is a folder for them", () => {
    const kept = { dir: "/data", appendonly: true, appendfsync: "always", save: "" } as const;
    expect(engineConfig(completeConfig(kept))).toEqual({
      save: "",
      dbfilename: "dump.rdb",
      appendonly: "yes",
      appendfsync: "always",
      appenddirname: "appendonlydir",
      appendfilename: "appendonly.aof",
      "auto-aof-rewrite-percentage": "100",
      "auto-aof-rewrite-min-size": "67108864",
    });
    const redis =
      "appendonly yes\nappendfsync no\nauto-aof-rewrite-min-size 1mb\nrdbcompression no\nsave 60 1\ndir /data\n";
    expect(engineConfig(config([file(redis)]))).toMatchObject({
      ...{ appendonly: "yes", appendfsync: "no", "auto-aof-rewrite-min-size": "1048576", rdbcompression: "no" },
      save: "60 1",
    });
  });

  it.each([
    ["--dbfilename", "../dump.rdb"],
    ["--dbfilename", "regears-registrations.json"],
    ["--appenddirname", "a/b"],
    ["--appendfilename", ".."],
    ["--dbfilename", "temp-42.rdb"],
  ])("refuses %s %s, which is no name of a file in the folder", (option, name) => {
    expect(failure([option, name])).toContain(`option '${option.slice(2)}': '${name}' is no name of a file in 'dir'`);
  });

  it.each(["60", "60 x", "0 1", "-1 1", "1 2 3", "60,1000"])("refuses save points such as %s", (text) => {
    expect(failure([`--save=${text}`])).toContain(`option 'save': '${text}' is not pairs of seconds and changes`);
  });

  it("ignores what has no meaning, and warns when data or behaviour suffer", () => {
    const quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--tcp-backlog", "511", "--tls-port", "0"];
    expect(loadStart(quiet, {}).warnings).toEqual([]);
    expect(loadStart(["--save", "900", "1", "300", "10", "--appendonly", "yes"], {}).warnings).toEqual([
      "save has no effect: data are kept in memory only, there is no `dir`",
      "appendonly has no effect: data are kept in memory only, there is no `dir`",
    ]);
    expect(loadStart(["--save", "60", "1", "--dir", "/data"], {}).warnings).toEqual([]);
  });

  it("adds save points up as Redis does", () => {
    expect(config(["--save", "900", "1", "300", "10", "--port", "1"])).toMatchObject({ save: "900 1 300 10", port: 1 });
    expect(config(["--save", "900 1 300 10"]).save).toBe("900 1 300 10");
    expect(config(["--save", ""]).save).toBe("");
    expect(config([file("save 900 1\nsave 300 10\n")]).save).toBe("900 1 300 10");
    expect(config([file('save 900 1\nsave ""\nsave 60 5\n')]).save).toBe("60 5");
    expect(config([file("save 900 1\n"), "--save", "5", "1"]).save).toBe("5 1");
    expect(config([], { REGEARS_SAVE: "60 1" }).save).toBe("60 1");
    expect(failure([file("save\n")])).toContain("option 'save' needs a value");
  });

  it.each([
    [["--replicaof", "host", "6379"], "Regears is no replica"],
    [["--cluster-enabled", "yes"], "a single node"],
    [["--tls-ciphers", "DEFAULT"], "protocols are TLS 1.2 and 1.3"],
    [["--loadmodule", "/x/redisearch.so"], "native modules can not be loaded"],
    [["--loadmodule", "/x/redisgears.so", "foo"], "the module's option foo has no value"],
    [["--rename-command", "FLUSHALL", ""], "ACL SETUSER"],
  ])("refuses %j", (args, text) => {
    expect(failure(args)).toContain(text);
  });

  it("says that an engine by URL has its users there", () => {
    for (const args of [
      ["--user", "a", "on"],
      ["--aclfile", "x"],
    ]) {
      const { warnings } = loadStart(["--engine", "redis://host:6379", ...args], {});
      expect(warnings).toEqual([expect.stringContaining("has no effect on an engine by URL")]);
    }
  });

  it("says that an engine by URL is configured where it runs", () => {
    const { warnings } = loadStart(["--engine", "redis://host:6379", "--maxmemory", "1gb", "--hz", "50"], {});
    expect(warnings.map((text) => text.split(" ")[0])).toEqual(["maxmemory", "hz"]);
  });

  it("understands the addresses of redis.conf", () => {
    expect(config(["--bind", "127.0.0.1", "-::1"]).bind).toBe("127.0.0.1");
    expect(config(["--bind", "*", "-::*"]).bind).toBe("0.0.0.0");
    expect(config(["--bind", "-::1"]).bind).toBe("::1");
    expect(config([file("bind * -::*\nport 7")])).toMatchObject({ bind: "0.0.0.0", port: 7 });
  });
});

describe("the configuration file", () => {
  it("has the form of redis.conf", () => {
    const path = file('# a comment\r\n\r\nport 7000\r\nrequirepass "a \\"b\\" \\x41"\nloglevel DEBUG\nsave 60 1\nfoo');
    expect(failure([path])).toBe(`${path}:7: unknown option 'foo'`);
    const good = file('port 7000\nrequirepass "a \\"b\\" \\x41"\nMaxExecutions 5\ngears-option who \'big world\'\n');
    expect(config([good])).toMatchObject({
      port: 7000,
      requirepass: 'a "b" A',
      maxExecutions: 5,
      gearsOption: ["who=big world"],
    });
    expect(config(["--config", good, "--port", "1"]).port).toBe(1);
    expect(config([], { REGEARS_CONFIG: good }).port).toBe(7000);
  });

  it("is refused with its line", () => {
    const path = file('port 7000\nrequirepass "open\n');
    expect(failure([path])).toBe(`${path}:2: unbalanced quotes`);
    expect(failure([file("port 1 2")])).toContain(":1: option 'port' takes one value, not 2");
    expect(failure([join(folder, "absent.conf")])).toContain("can not read the configuration file: ENOENT");
  });

  it("adds up the classes of client-output-buffer-limit", () => {
    const path = file("client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit pubsub 32mb 8mb 60\n");
    expect(config([path]).engineSettings).toEqual({
      "client-output-buffer-limit": "normal 0 0 0 pubsub 32mb 8mb 60",
    });
  });

  it("splits words like Redis", () => {
    expect(splitWords("a  b\tc")).toEqual(["a", "b", "c"]);
    expect(splitWords(`"" '' 'it\\'s' "\\n\\\\"`)).toEqual(["", "", "it's", "\n\\"]);
    expect(splitWords("")).toEqual([]);
    for (const line of ['"a', "'a", '"a"b', "a 'b"]) expect(() => splitWords(line), line).toThrow(ConfigError);
  });
});

describe("the environment", () => {
  it("names options in capitals", () => {
    expect(
      config([], {
        REGEARS_MAX_EXECUTIONS: "5",
        REGEARS_ENGINE_TLS_INSECURE: "yes",
        REGEARS_GEARS_OPTION: "a=1 'b=2 3'",
      }),
    ).toMatchObject({ maxExecutions: 5, engineTlsInsecure: true, gearsOption: ["a=1", "b=2 3"] });
    expect(failure([], { REGEARS_PORT: "x" })).toBe("environment: option 'port': 'x' is not a whole number");
  });

  it("is not confused by the variables of container links", () => {
    const env = { REGEARS_PORT: "tcp://10.0.0.1:6379", REGEARS_SERVICE_HOST: "10.0.0.1", REGEARS_PORT_6379_TCP: "x" };
    expect(loadStart([], env)).toMatchObject({ config: { port: 6379 }, warnings: [] });
    expect(loadStart([], { REGEARS_PROT: "1" }).warnings).toEqual([
      "the environment variable REGEARS_PROT is not an option",
    ]);
  });

  it("stands between the command line and the file", () => {
    const path = file("port 1\nmaxclients 1\nexecution-threads 1");
    const env = { REGEARS_PORT: "2", REGEARS_MAXCLIENTS: "2" };
    expect(config([path, "--port", "3"], env)).toMatchObject({ port: 3, maxclients: 2, executionThreads: 1 });
  });
});

describe("the table", () => {
  it("has good defaults, found under every name", () => {
    for (const [name, spec] of optionEntries) {
      if (spec.kind !== "list" && spec.kind !== "text")
        expect(parseValue(spec, formatValue(spec, spec.default)), name).toEqual(spec.default);
      for (const alias of [
        ...(spec.aliases ?? []),
        ...(spec.gears && spec.kind === "integer" ? [spec.gears.name] : []),
      ])
        expect(Object.values(config([`--${alias}`, "77"])), alias).toContain(77);
    }
  });

  it("is what --help prints", () => {
    const text = helpText([{ name: "run", summary: "runs a script" }]);
    expect(text).toContain("  run         runs a script\n");
    expect(text).toMatch(/--isolation +.*: shared, session \(shared\)/);
    expect(text).toMatch(/--appendonly +.*: yes, no \(no\)/);
    for (const name of Object.keys(OPTIONS)) expect(text).toContain(`--${name} `);
    expect(text).toMatch(/--max-executions +finished executions kept.*\(1000\)/);
  });

  it("completes partial options", () => {
    expect(completeConfig({ port: 0, gearsOption: ["MaxExecutions=3", "x=1"] })).toMatchObject({
      port: 0,
      maxExecutions: 3,
      executionThreads: 3,
      pythonMemoryLimit: 512 * 1024 * 1024,
    });
    const wrong = (options: object) => () => completeConfig(options);
    expect(wrong({ maxExecution: 4 })).toThrow(new ConfigError("unknown option 'maxExecution'"));
    for (const name of ["metrics-port", "--metrics-port", "metrics_port", "METRICS-PORT"])
      expect(wrong({ [name]: 0 })).toThrow(new ConfigError(`unknown option '${name}'; did you mean 'metricsPort'?`));
    expect(wrong({ port: "6379" })).toThrow(new ConfigError("option 'port': \"6379\" is no number"));
    expect(wrong({ gearsOption: "x=1" })).toThrow(ConfigError);
    for (const name of ["toString", "constructor", "hasOwnProperty"])
      expect(wrong({ [name]: () => 1 })).toThrow(new ConfigError(`unknown option '${name}'`));
    for (const none of [null, 5, "port", ["port"], () => 1, new Map([["port", 0]]), Promise.resolve({ port: 0 })])
      expect(wrong(none as object)).toThrow("the options must be an object such as { port: 0 }, not ");
    const absent = { port: undefined } as unknown as Partial<Config>;
    expect(completeConfig(absent).port).toBe(6379);
    expect(completeConfig({ maxExecutions: 4, gearsOption: ["MaxExecutions=3"] }).maxExecutions).toBe(4);
    expect(() => completeConfig({ gearsOption: ["MaxExecutions=x"] })).toThrow("gears option MaxExecutions: 'x'");
  });
});

describe("what a program gives", () => {
  it.each([
    [{ isolation: "foo" }, "option 'isolation': 'foo' is none of shared, session"],
    [{ gearsCompat: "x" }, "option 'gearsCompat': 'x' is none of"],
    [{ loglevel: "silent" }, "option 'loglevel': 'silent' is none of debug, verbose, notice, warning"],
    [{ tlsAuthClients: "YES" }, "option 'tlsAuthClients': 'YES' is none of"],
    [{ executionThreads: -1 }, "option 'executionThreads': '-1' is too small, the least is 1"],
    [{ executionThreads: 1.5 }, "option 'executionThreads': '1.5' is not a whole number"],
    [{ maxExecutions: Number.NaN }, "option 'maxExecutions': 'NaN' is not a whole number"],
    [{ maxRegistrations: Number.POSITIVE_INFINITY }, "option 'maxRegistrations': 'Infinity' is too large"],
    [{ pythonMemoryLimit: 5 }, "option 'pythonMemoryLimit': '5' is too small, the least is 64mb"],
    [{ port: 99_999 }, "option 'port': '99999' is too large, the most is 65535"],
    [{ port: null }, "option 'port': null is no number"],
    [{ plugin: [1] }, "option 'plugin': [1] is no list of texts"],
    [{ user: [""] }, "option 'user' needs a name"],
    [{ user: ["a on", "a off"] }, "user 'a' is defined twice"],
    [{ engineSettings: { nonsense: "1" } }, "unknown engine setting 'nonsense'"],
    [{ engineSettings: { hz: 10 } }, "engine setting 'hz': 10 is no text"],
    [{ engineSettings: { replicaof: "a 1" } }, "unknown engine setting 'replicaof'"],
  ])("is checked as the command line is: %j", (options, text) => {
    const given = () => completeConfig(options as unknown as Partial<Config>);
    expect(given).toThrow(ConfigError);
    expect(given).toThrow(text);
  });

  it("has each number of the table within its bounds, and nothing beyond", () => {
    for (const [name, spec] of optionEntries) {
      if (!("min" in spec) && !("max" in spec)) continue;
      const { min, max } = spec as { min?: number; max?: number };
      const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
      for (const good of [min, max]) if (good !== undefined) completeConfig({ [key]: good });
      for (const bad of [min !== undefined && min - 1, max !== undefined && max + 1])
        if (bad !== false && Number.isSafeInteger(bad))
          expect(() => completeConfig({ [key]: bad }), name).toThrow(ConfigError);
    }
  });

  it("means files relative to where the program was started", () => {
    const from = process.cwd();
    const given = { tlsCertFile: "a.pem", engineTlsCa: "/etc/b.pem", cacheDir: "cache", dir: "data", aclfile: "c" };
    expect(completeConfig(given)).toMatchObject({
      tlsCertFile: resolve(from, "a.pem"),
      engineTlsCa: resolve("/etc/b.pem"),
      cacheDir: resolve(from, "cache"),
      tlsKeyFile: "",
      dir: "data",
      aclfile: "c",
    });
  });
});

describe("values", () => {
  it("reads amounts of memory like Redis", () => {
    const units = {
      "1b": 1,
      "1k": 1000,
      "1kb": 1024,
      "1M": 1e6,
      "64mb": 67108864,
      "1g": 1e9,
      "2GB": 2147483648,
      "7": 7,
    };
    for (const [text, bytes] of Object.entries(units)) expect(parseBytes(text), text).toBe(bytes);
    for (const text of ["", "mb", "-1", "1.5gb", "1tb", "1 mb", "99999999gb"])
      expect(parseBytes(text), text).toBeUndefined();
  });

  it("reads integers like Redis", () => {
    expect(parseInteger("-9223372036854775808")).toBe(-9223372036854775808n);
    expect(parseInteger("0")).toBe(0n);
    for (const text of [
      "",
      "-0",
      "+1",
      "01",
      "1.5",
      " 5",
      "5 ",
      "1e3",
      "0x10",
      "9223372036854775808",
      "99999999999999999999",
    ])
      expect(parseInteger(text), text).toBeUndefined();
  });

  it("takes a switch without a value on the command line for yes", () => {
    expect(loadStart(["--repair"], {}).config.repair).toBe(true);
    expect(loadStart(["--repair", "--port", "7"], {}).config).toMatchObject({ repair: true, port: 7 });
    expect(loadStart(["--repair", "no"], {}).config.repair).toBe(false);
    expect(() => loadStart(["--port", "--repair"], {})).toThrow("option 'port' needs a value");
  });

  it("reads switches", () => {
    for (const text of ["yes", "On", "TRUE", "1", "-3"]) expect(parseSwitch(text), text).toBe(true);
    for (const text of ["no", "off", "False", "0"]) expect(parseSwitch(text), text).toBe(false);
    expect(parseSwitch("")).toBeUndefined();
  });
});
