/** Requirement strings as pip takes them (PEP 508), and the addresses that clients of RedisGears send. */
import {
  type EnvironmentMarker,
  type EnvironmentMarkerLeaf,
  parsePipRequirementsLine,
  type Requirement as ParsedRequirement,
} from "pip-requirements-js";
import { satisfies, valid, validRange } from "@renovatebot/pep440";
import { PackageError } from "./package-errors.ts";
import type { MarkerVariables } from "./interpreter.ts";

export interface Requirement {
  /** As it was given. */
  readonly text: string;
  /** Normalised: lower case, words with one hyphen in between. */
  readonly name: string;
  readonly extras: readonly string[];
  /** Such as `>=1.0,<2`; empty: any version. */
  readonly specifier: string;
  /** Of a wheel. */
  readonly url: string | undefined;
  readonly marker: EnvironmentMarker | undefined;
}

/** Repositories that clients name, by the end of their path. */
const REPOSITORIES: readonly (readonly [RegExp, string])[] = [
  [/\/(redisgears-py|gearsclient)(\.git)?$/i, "gearsclient"],
  [/\/redgrease(\.git)?$/i, "redgrease"],
];
const REPOSITORY = /^(?:git\+)?(?:https?|ssh|git):\/\/\S+$/i;
const MAX_TEXT = 4096;

/** Names are the same when they are the same after this. */
export const normalName = (name: string): string => name.toLowerCase().replaceAll(/[._-]+/g, "-");

/** @throws PackageError that names the text, when it is no requirement */
export function parseRequirement(text: string): Requirement {
  if (text.length > MAX_TEXT) throw new PackageError(`a requirement of ${text.length} characters is too long`);
  const plain = text.trim();
  const repository = /^(?:[^@\s]+@\s*)?(git\+\S+)$/.exec(plain)?.[1] ?? plain;
  if (REPOSITORY.test(repository)) return fromRepository(text, repository, plain);
  const parsed = parse(text, plain);
  const url = parsed.type === "ProjectURL" ? parsed.url : undefined;
  const specifier =
    parsed.type === "ProjectName" ? (parsed.versionSpec ?? []).map((one) => one.operator + one.version).join(",") : "";
  if (specifier !== "" && !validRange(specifier)) throw new PackageError(`'${text}' is not a requirement`);
  return {
    ...{ text, specifier, url },
    name: normalName(parsed.name),
    extras: (parsed.extras ?? []).map(normalName),
    marker: parsed.environmentMarkerTree,
  };
}

function parse(text: string, plain: string): Extract<ParsedRequirement, { name: string }> {
  let parsed: ParsedRequirement | null;
  try {
    // the parser knows no `===`, which asks for the same version, and moreover in the same words
    parsed = parsePipRequirementsLine(plain.replaceAll("===", "=="));
  } catch {
    throw new PackageError(`'${text}' is not a requirement`);
  }
  if (parsed === null || !("name" in parsed)) throw new PackageError(`'${text}' is not a requirement`);
  return parsed;
}

/** The package of a repository that is known; others would have to be built. */
function fromRepository(text: string, address: string, plain: string): Requirement {
  const path = address.replace(/#.*$/, "").replace(/^([^:]+:\/\/[^/]*\/.*?)@[^@/]*$/, "$1");
  const name = REPOSITORIES.find(([end]) => end.test(path))?.[1];
  if (name === undefined) throw new PackageError(`'${text}' is a source repository, and packages are not built here`);
  const named = /(?:#|&)egg=([^&\s]+)/.exec(address)?.[1] ?? plain.split("@", 1)[0] ?? "";
  const extras = /\[([^\]]*)\]/.exec(named)?.[1]?.split(",") ?? [];
  return {
    ...{ text, name, specifier: "", url: undefined, marker: undefined },
    extras: extras.map((extra) => normalName(extra.trim())).filter((extra) => extra !== ""),
  };
}

/** Is the version one of those asked for? Versions before a release are, when the caller says so. */
export function isWanted(version: string, specifier: string): boolean {
  return specifier === "" || isOf(version, specifier);
}

/** A version with a number that is longer than any real one is none that is asked for: the library has no number for it. */
function isOf(version: string, specifier: string): boolean {
  try {
    return satisfies(version, specifier, { prereleases: true });
  } catch {
    return false;
  }
}

/** @param extra that of the requirement whose dependency it is; empty: none */
export function markerHolds(marker: EnvironmentMarker | undefined, variables: MarkerVariables, extra = ""): boolean {
  if (marker === undefined) return true;
  if (marker.operator === "and" || marker.operator === "or") {
    const left = markerHolds(marker.left as EnvironmentMarker, variables, extra);
    const right = markerHolds(marker.right as EnvironmentMarker, variables, extra);
    return marker.operator === "and" ? left && right : left || right;
  }
  return leafHolds(marker as EnvironmentMarkerLeaf, variables, extra);
}

function leafHolds(leaf: EnvironmentMarkerLeaf, variables: MarkerVariables, extra: string): boolean {
  const value = (side: string): string => {
    if (/^['"]/.test(side)) return side.slice(1, -1);
    return side === "extra" ? extra : (variables[side] ?? "");
  };
  const isExtra = leaf.left === "extra" || leaf.right === "extra";
  const [left, right] = [leaf.left, leaf.right].map(value).map((text) => (isExtra ? normalName(text) : text)) as [
    string,
    string,
  ];
  if (leaf.operator === "in") return right.includes(left);
  if (leaf.operator === "not in") return !right.includes(left);
  if (!isExtra && valid(left) !== null && validRange(leaf.operator + right)) {
    return isOf(left, leaf.operator + right);
  }
  return compareTexts(left, leaf.operator, right);
}

function compareTexts(left: string, operator: string, right: string): boolean {
  switch (operator) {
    case "==":
    case "===":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
    default:
      return false;
  }
}
