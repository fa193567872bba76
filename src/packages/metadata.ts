/** What a wheel says of itself: its name, its METADATA. */
import { valid } from "@renovatebot/pep440";
import { InstallError } from "./package-errors.ts";
import { normalName, parseRequirement, type Requirement } from "./requirement.ts";

const MAX_NAME = 255;
const MAX_METADATA = 8 * 1024 * 1024;
/** Reading each takes its time, in which nobody else is served. */
const MAX_REQUIRES = 2000;

/** The parts of a wheel's file name. */
export interface WheelName {
  readonly name: string;
  readonly version: string;
  readonly tags: readonly string[];
}

export interface Metadata {
  readonly name: string;
  readonly version: string;
  readonly requiresPython: string | undefined;
  readonly requires: readonly Requirement[];
}

/** @returns undefined when it is the name of no wheel */
export function parseWheelName(file: string): WheelName | undefined {
  // a file can have no longer one; a few KB of tags would be millions of them
  if (file.length > MAX_NAME) return undefined;
  const parts = /^([^/\\]+)\.whl$/i.exec(file)?.[1]?.split("-") ?? [];
  if (parts.length !== 5 && parts.length !== 6) return undefined;
  const [name = "", version = ""] = parts;
  const [pythons, abis, platforms] = parts.slice(-3).map((part) => part.split(".")) as [string[], string[], string[]];
  const plain = version.replaceAll("_", "-");
  if (valid(plain) === null || !/^[A-Za-z0-9][A-Za-z0-9._]*$/.test(name)) return undefined;
  const tags = pythons.flatMap((python) =>
    abis.flatMap((abi) => platforms.map((platform) => `${python}-${abi}-${platform}`)),
  );
  return { name: normalName(name), version: plain, tags };
}

/** The place of the best of a wheel's tags among those that run here; undefined: it does not run here. */
export function rankOf(tags: readonly string[], supported: readonly string[]): number | undefined {
  const ranks = tags.map((tag) => supported.indexOf(tag)).filter((rank) => rank >= 0);
  return ranks.length === 0 ? undefined : Math.min(...ranks);
}

/**
 * Reads the file METADATA.
 * @throws InstallError when it has no name or no version, or too much. Dependencies that are none are left out, as old packages have such.
 */
export function parseMetadata(text: string): Metadata {
  if (text.length > MAX_METADATA) throw new InstallError(`its METADATA is longer than ${MAX_METADATA} characters`);
  const [head = ""] = text.replaceAll("\r\n", "\n").split("\n\n", 1);
  const fields = head.replaceAll(/\n[ \t]+/g, " ").split("\n");
  const all = (field: string): string[] =>
    fields
      .filter((line) => line.toLowerCase().startsWith(`${field}:`))
      .map((line) => line.slice(field.length + 1).trim());
  const [name] = all("name");
  const [version] = all("version");
  if (!name || !version) throw new InstallError("its METADATA has no name or no version");
  const requires = all("requires-dist");
  if (requires.length > MAX_REQUIRES) throw new InstallError(`its METADATA has more than ${MAX_REQUIRES} requirements`);
  return {
    name: normalName(name),
    version,
    requiresPython: all("requires-python")[0],
    requires: requires.flatMap((one) => dependency(one) ?? []),
  };
}

function dependency(text: string): Requirement | undefined {
  try {
    return parseRequirement(text);
  } catch {
    return undefined;
  }
}
