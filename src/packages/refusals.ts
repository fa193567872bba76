/** Why a source has no wheel of a package that could be used: for the client who asked for it. */
import { valid } from "@renovatebot/pep440";
import type { Interpreter } from "./interpreter.ts";
import { parseWheelName } from "./metadata.ts";
import type { Found } from "./source.ts";

const SHOWN_VERSIONS = 5;
/** Files that are looked at, of which one is named. */
const SEEN_FILES = 1_000;
const SOURCES = /-([^-]+)\.(?:tar\.\w+|zip)$/;

/** @param isWanted is this version one of those asked for? */
export function explain(
  { candidates, refused }: Found,
  label: string,
  interpreter: Pick<Interpreter, "python" | "tags">,
  isWanted: (version: string) => boolean,
): string[] {
  const reasons: string[] = [];
  if (candidates.length > 0) {
    const versions = candidates.slice(0, SHOWN_VERSIONS).map(({ version }) => version);
    reasons.push(`${label} has ${versions.join(", ")}${candidates.length > SHOWN_VERSIONS ? ", …" : ""}`);
  }
  const wanted = refused.slice(0, SEEN_FILES).filter((file) => isWantedFile(file, isWanted));
  const wheel = wanted.find((file) => file.endsWith(".whl"));
  const [first] = wanted;
  if (wheel !== undefined)
    reasons.push(`no wheel of it is for this interpreter (${tagOf(interpreter)}), such as ${wheel} in ${label}`);
  else if (first !== undefined)
    reasons.push(`there is no wheel of it in ${label}, only ${first}, and packages are not built here`);
  return reasons;
}

/** Names without a version are of no use to anybody, but tell that there is something. */
function isWantedFile(file: string, isWanted: (version: string) => boolean): boolean {
  const version = parseWheelName(file)?.version ?? SOURCES.exec(file)?.[1];
  return version === undefined || valid(version) === null || isWanted(version);
}

/** What a wheel of compiled code would be for. */
const tagOf = ({ tags }: Pick<Interpreter, "tags">): string => tags[0] ?? "";
