/** Where packages come from: each source knows wheels by the name of their package. */
import { compare } from "@renovatebot/pep440";
import { Slices, sortedInTurns } from "../in-turns.ts";
import type { Interpreter, LockedPackage } from "./interpreter.ts";
import { parseWheelName, rankOf, type Metadata } from "./metadata.ts";

/** A wheel that could be installed. */
export interface Candidate {
  readonly name: string;
  readonly version: string;
  readonly fileName: string;
  /** Where it comes from, for people. */
  readonly source: string;
  /** Withdrawn: used only when exactly this version is asked for. */
  readonly yanked: boolean;
  /** The address that it was asked for by; undefined: it was found by its name. */
  readonly address?: string;
  /** What the lock file of Pyodide has of it. */
  readonly locked?: LockedPackage;
  /** @throws PackageError when it can not be had */
  metadata(): Promise<Metadata>;
  /** The wheel in the cache. @throws PackageError when it can not be had */
  fetch(): Promise<CachedWheel>;
}

/** A wheel in the cache. */
export interface CachedWheel {
  readonly fileName: string;
  readonly sha256: string;
  readonly path: string;
}

/** What a source has of a package. */
export interface Found {
  /** The best wheel of each version, newest version first. */
  readonly candidates: readonly Candidate[];
  /** Files that can not be used here. */
  readonly refused: readonly string[];
}

export interface Source {
  /** For people. */
  readonly label: string;
  /** Nobody has named it: it is not asked for what comes with the server. */
  readonly isImplied?: boolean;
  /** @throws PackageError when it can not be asked */
  find(name: string): Promise<Found>;
}

export const NOTHING: Found = { candidates: [], refused: [] };

/** Chooses among the files of a package those that run here: of each version the one that fits best. */
export async function choose<F extends { readonly fileName: string }>(
  name: string,
  files: readonly F[],
  { tags }: Pick<Interpreter, "tags">,
  candidate: (file: F, version: string) => Candidate,
): Promise<Found> {
  const slices = new Slices();
  const best = new Map<string, { file: F; rank: number }>();
  const refused: string[] = [];
  for (const file of files) {
    await slices.next();
    const wheel = parseWheelName(file.fileName);
    const rank = wheel && wheel.name === name ? rankOf(wheel.tags, tags) : undefined;
    if (!wheel || rank === undefined) {
      refused.push(file.fileName);
      continue;
    }
    const present = best.get(wheel.version);
    if (!present || rank < present.rank) best.set(wheel.version, { file, rank });
  }
  const candidates = [...best].map(([version, { file }]) => candidate(file, version));
  return { candidates: await sortedInTurns(candidates, (a, b) => compare(b.version, a.version)), refused };
}
