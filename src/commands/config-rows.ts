/** RG.CONFIGGET and RG.CONFIGSET. */
import type { RuntimeConfig, SetOutcome } from "../config.ts";
import { array, bulk, error, integer, type Reply, status, text } from "../resp/reply.ts";
import type { CommandRow } from "./command.ts";

const TESTS = "test/commands/table.test.ts";

/** The commands that read and change the configuration. */
export function configCommands({ config }: { config: RuntimeConfig }): CommandRow[] {
  return [
    {
      name: "rg.configget",
      passesGate: true,
      summary: "Returns values of the configuration.",
      since: "1.0",
      group: "configuration",
      access: "read",
      minArgs: 0,
      maxArgs: Number.POSITIVE_INFINITY,
      syntax: "[key ...]",
      testedBy: TESTS,
      run: (keys) => array(keys.map((key) => show(config, key))),
    },
    {
      name: "rg.configset",
      passesGate: true,
      summary: "Changes values of the configuration, or sets options for scripts.",
      since: "1.0",
      group: "configuration",
      access: "admin",
      minArgs: 0,
      maxArgs: Number.POSITIVE_INFINITY,
      syntax: "[key value ...]",
      testedBy: TESTS,
      run: (args) => array(setPairs(config, args)),
    },
  ];
}

function show(config: RuntimeConfig, key: Buffer): Reply {
  const value = config.show(key);
  if (value === undefined) return error(`(error) Unsupported config parameter: ${key}`);
  if (typeof value === "bigint") return integer(value);
  if (Buffer.isBuffer(value)) return bulk(value);
  return array(value.map(text));
}

function setPairs(config: RuntimeConfig, args: readonly Buffer[]): Reply[] {
  const replies: Reply[] = [];
  for (let at = 0; at < args.length; at += 2) {
    const [key, value] = args.slice(at, at + 2);
    if (key) replies.push(wording[config.set(key, value)](key, value));
  }
  return replies;
}

const wording: Readonly<Record<SetOutcome, (key: Buffer, value: Buffer | undefined) => Reply>> = {
  set: () => status("OK"),
  saved: () => status("OK - value was saved in extra config dictionary"),
  "bad-core": (key) => error(`(error) Failed setting config value ${key}`),
  "fixed-core": (key) => error(`(error) Config value ${key} not modifiable at runtime`),
  "bad-python": (key, value) => error(`Failed setting config value for key '${key}' with value '${value}'`),
  "fixed-python": (key) => error(`(error) ${key} is not configurable at runtime`),
  "no-value": (key) => error(`(error) Value was not given to ${key}`),
};
