/** What a dump has of modules, told to people. */
import type { GearsData } from "./gears-data.ts";
import type { ModuleData } from "./module-data.ts";

/** Modules by the types of their data. */
const MODULES: Readonly<Record<string, string>> = {
  "ReJSON-RL": "RedisJSON",
  "MBbloom--": "RedisBloom",
  MBbloomCF: "RedisBloom",
  "CMSk-TYPE": "RedisBloom",
  "TopK-TYPE": "RedisBloom",
  "TDIS-TYPE": "RedisBloom",
  "TSDB-TYPE": "RedisTimeSeries",
  ft_index0: "RediSearch",
  ft_invidx: "RediSearch",
  numericdx: "RediSearch",
  trietype0: "RediSearch",
  graphdata: "RedisGraph",
  graphmeta: "RedisGraph",
  AI_TENSOR: "RedisAI",
  AI__MODEL: "RedisAI",
  AI_SCRIPT: "RedisAI",
};
/** Keys that are named of each type. */
const SHOWN_KEYS = 10;

/** Sessions, registrations and time events, a line each, those of a session behind it. */
export function gearsLines({ sessions, registrations, timers, unknown }: GearsData): string[] {
  const lines: string[] = [];
  for (const { id, description } of sessions) {
    lines.push(`session '${id}'${description === undefined ? "" : ` (${description})`}`);
    for (const one of registrations.filter(({ session }) => session === id)) {
      const args = one.args.map(([name, value]) => `${name}=${value}`).join(", ");
      const about = one.description === undefined ? "" : ` (${one.description})`;
      lines.push(`  registration ${one.id}${about}: ${one.reader}, register(${args}, mode='${one.mode}')`);
    }
  }
  for (const { key, seconds, session } of timers)
    lines.push(`time event with the key '${key}' every ${seconds} seconds, of session '${session ?? "unknown"}'`);
  if (unknown > 0) lines.push(`${unknown} registrations can not be read`);
  return lines;
}

/** Data of other modules, a line for each type. */
export function otherLines({ others }: Pick<ModuleData, "others">): string[] {
  return [...others].map(([type, keys]) => {
    const module = MODULES[type] ?? "a module";
    const more = keys.length > SHOWN_KEYS ? ` and ${keys.length - SHOWN_KEYS} more` : "";
    const shown = keys.slice(0, SHOWN_KEYS).map((key) => `'${key}'`);
    return `data of ${module} ('${type}')${keys.length === 0 ? "" : `: the keys ${shown.join(", ")}${more}`}`;
  });
}
