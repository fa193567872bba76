/**
 * Chooses a version of each package that is needed: the newest that everybody agrees with, of the first source that has one.
 * Where that leads to a contradiction the choice before is made anew, but not without end.
 */
import { setImmediate } from "node:timers/promises";
import { parse } from "@renovatebot/pep440";
import { PackageError } from "./package-errors.ts";
import type { Interpreter } from "./interpreter.ts";
import { Slices } from "../in-turns.ts";
import { isWanted, markerHolds, type Requirement } from "./requirement.ts";
import { explain } from "./refusals.ts";
import type { Candidate, Found, Source } from "./source.ts";

/** A package that was chosen. */
export interface Chosen {
  readonly candidate: Candidate;
  /** Names of the packages that it needs, with its extras. */
  readonly needs: readonly string[];
}

interface ResolverOptions {
  readonly sources: readonly Source[];
  readonly interpreter: Interpreter;
  /** Sources that have turned out not to give what they have, by their labels, and why. */
  readonly unreachable: ReadonlyMap<string, string>;
  /** Names of packages that need not be installed, as something in their place comes with the server. */
  readonly provided: (name: string) => boolean;
  /** The one wheel of a requirement with an address. @throws PackageError when it can not be had */
  readonly direct: (requirement: Requirement) => Promise<Candidate>;
}

/** What well-known packages are made of, so that no wheel of them will ever run here. */
const NEEDS: ReadonlyMap<string, string> = new Map([
  ...["gevent", "uvloop", "grpcio", "torch", "tensorflow", "ray"].map((name) => [name, "threads"] as const),
  ...["billiard", "multiprocess", "psutil"].map((name) => [name, "processes"] as const),
]);
/** Versions that are tried before it is given up. */
const MAX_TRIES = 500;
const MAX_PACKAGES = 150;

/** A requirement, and whose it is. */
interface Demand {
  readonly requirement: Requirement;
  readonly by: string;
}

/** What was chosen so far; never changed, but copied. */
interface State {
  readonly chosen: ReadonlyMap<string, { readonly candidate: Candidate; readonly extras: ReadonlySet<string> }>;
  readonly demands: readonly Demand[];
  readonly needs: ReadonlyMap<string, ReadonlySet<string>>;
}

export class PackageResolver {
  readonly #options: ResolverOptions;
  readonly #found = new Map<Source, Map<string, Promise<Found>>>();
  #tries = 0;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** @returns by name. @throws PackageError when there is no choice that fits, or none was found in time */
  async resolve(requirements: readonly Requirement[]): Promise<Map<string, Chosen>> {
    const pending = requirements.map((requirement) => ({ requirement, by: "the script" }));
    const { chosen, needs } = await this.#settle(pending, { chosen: new Map(), demands: [], needs: new Map() });
    return new Map(
      [...chosen].map(([name, { candidate }]) => [name, { candidate, needs: [...(needs.get(name) ?? [])] }]),
    );
  }

  async #settle([first, ...rest]: readonly Demand[], state: State): Promise<State> {
    if (!first) return state;
    const { requirement, by } = first;
    const { name, extras } = requirement;
    if (by === "the script" && !markerHolds(requirement.marker, this.#options.interpreter.markers)) {
      return this.#settle(rest, state);
    }
    if (this.#options.provided(name) && !state.chosen.has(name)) return this.#orProvided(first, rest, state);
    const demands = [...state.demands, first];
    const present = state.chosen.get(name);
    if (!present) return this.#choose(first, rest, { ...state, demands });
    if (!isMeant(present.candidate, requirement)) {
      if (this.#options.provided(name)) return this.#settle(rest, state);
      throw conflict(name, demands);
    }
    const more = extras.filter((extra) => !present.extras.has(extra));
    if (more.length === 0) return this.#settle(rest, { ...state, demands });
    return this.#expand(present.candidate, new Set([...present.extras, ...more]), rest, { ...state, demands });
  }

  /** What comes with the server is used unless there is a real package that fits. */
  async #orProvided(first: Demand, rest: readonly Demand[], state: State): Promise<State> {
    try {
      return await this.#choose(first, rest, { ...state, demands: [...state.demands, first] });
    } catch (error) {
      if (!(error instanceof PackageError)) throw error;
      return this.#settle(rest, state);
    }
  }

  /** Tries one version after the other. */
  async #choose({ requirement }: Demand, rest: readonly Demand[], state: State): Promise<State> {
    const { name } = requirement;
    if (state.chosen.size >= MAX_PACKAGES) throw new PackageError(`more than ${MAX_PACKAGES} packages are needed`);
    // what is asked of it later, as far as that is known, is asked at once
    const known = [...state.demands, ...rest].filter((one) => one.requirement.name === name);
    const refusals: string[] = [];
    let trouble: PackageError | undefined;
    for await (const candidate of this.#candidates(requirement, known, refusals)) {
      if (++this.#tries > MAX_TRIES)
        throw new PackageError(`${name}: no versions that fit were found in ${MAX_TRIES} tries`);
      // many tries in a row are work for the main thread, which others need as well
      await setImmediate();
      try {
        return await this.#expand(candidate, new Set(requirement.extras), rest, state);
      } catch (error) {
        if (!(error instanceof PackageError) || this.#tries > MAX_TRIES) throw error;
        trouble ??= error;
      }
    }
    throw trouble ?? nothing(name, known, refusals);
  }

  /** The package is chosen: what it needs is needed. */
  async #expand(
    candidate: Candidate,
    extras: ReadonlySet<string>,
    rest: readonly Demand[],
    state: State,
  ): Promise<State> {
    const { name, version } = candidate;
    const { python, markers } = this.#options.interpreter;
    const metadata = await candidate.metadata();
    const { requiresPython } = metadata;
    if (metadata.name !== name) throw new PackageError(`${candidate.fileName} holds ${metadata.name}, and not ${name}`);
    if (requiresPython !== undefined && !isWanted(python, requiresPython)) {
      throw new PackageError(`${name} ${version} needs Python ${requiresPython}, and this is ${python}`);
    }
    const applies = ({ marker }: Requirement): boolean =>
      ["", ...extras].some((extra) => markerHolds(marker, markers, extra));
    const dependencies = metadata.requires
      .filter(applies)
      .map((one) => ({ requirement: one, by: `${name} ${version}` }));
    const needs = new Map(state.needs);
    needs.set(name, new Set([...(needs.get(name) ?? []), ...dependencies.map((one) => one.requirement.name)]));
    const chosen = new Map(state.chosen).set(name, { candidate, extras });
    return this.#settle([...rest, ...dependencies], { ...state, chosen, needs });
  }

  /** Those that fit, from one source after the other; a later source is asked when the earlier ones have none. */
  async *#candidates(
    requirement: Requirement,
    known: readonly Demand[],
    refusals: string[],
  ): AsyncGenerator<Candidate, void> {
    const { sources, unreachable, direct, interpreter } = this.#options;
    const wantedVersion = (version: string): boolean =>
      known.every((one) => isWanted(version, one.requirement.specifier));
    const fits = ({ version }: Candidate): boolean => wantedVersion(version);
    // who names an address wants that file, whoever else is content with any
    const byAddress = known.find((one) => one.requirement.url !== undefined);
    if (byAddress) {
      const found = await direct(byAddress.requirement);
      if (fits(found)) yield found;
      else refusals.push(`${found.fileName} is version ${found.version}`);
      return;
    }
    const { name } = requirement;
    const isProvided = this.#options.provided(name);
    for (const source of sources) {
      if (isProvided && source.isImplied) continue;
      const reason = unreachable.get(source.label);
      if (reason !== undefined) {
        refusals.push(reason);
        continue;
      }
      let found: Found;
      try {
        found = await this.#find(source, name);
      } catch (error) {
        if (!(error instanceof PackageError)) throw error;
        refusals.push(error.message);
        continue;
      }
      const pinned = known.some((one) => /^={2,3}[^*]*$/.test(one.requirement.specifier));
      yield* releasesFirst(found.candidates, known, (one) => (pinned || !one.yanked) && fits(one));
      refusals.push(...explain(found, source.label, interpreter, wantedVersion));
    }
  }

  #find(source: Source, name: string): Promise<Found> {
    const ofSource = this.#found.get(source) ?? new Map<string, Promise<Found>>();
    this.#found.set(source, ofSource);
    const found = ofSource.get(name) ?? source.find(name);
    ofSource.set(name, found);
    return found;
  }
}

/** Those that fit. Versions before a release are for who asks for them, or where no others fit. */
async function* releasesFirst(
  candidates: readonly Candidate[],
  known: readonly Demand[],
  fits: (one: Candidate) => boolean,
): AsyncGenerator<Candidate, void> {
  const asked = known.some(({ requirement }) =>
    requirement.specifier.split(",").some((one) => isBeforeRelease(one.replace(/^[~=!<>]+/, ""))),
  );
  const slices = new Slices();
  for (const before of asked ? [undefined] : [false, true]) {
    let found = false;
    for (const one of candidates) {
      await slices.next();
      if ((before !== undefined && isBeforeRelease(one.version) !== before) || !fits(one)) continue;
      found = true;
      yield one;
    }
    if (found) return;
  }
}

function isBeforeRelease(version: string): boolean {
  const parsed = parse(version);
  return parsed !== null && (parsed.pre?.length > 0 || parsed.dev?.length > 0);
}

const describe = ({ requirement: { url, specifier }, by }: Demand): string =>
  `${url ?? (specifier || "any version")} (${by})`;

/** Is this candidate one of those that the requirement means? */
const isMeant = ({ version, address }: Candidate, { specifier, url }: Requirement): boolean =>
  isWanted(version, specifier) && (url === undefined || url === address);

function nothing(name: string, known: readonly Demand[], refusals: readonly string[]): PackageError {
  const wanted = known.map(describe);
  const why = refusals.length > 0 ? refusals.join("; ") : "no source has it";
  const need = NEEDS.get(name);
  const hopeless = need === undefined ? "" : `it needs ${need}, which Python in WebAssembly has not; `;
  return new PackageError(`${name}: ${hopeless}${why}; asked for: ${[...new Set(wanted)].join(", ")}`);
}

function conflict(name: string, demands: readonly Demand[]): PackageError {
  const of = demands.filter((one) => one.requirement.name === name);
  const wanted = of.map(describe);
  return new PackageError(`${name}: there is no version for all who need it: ${[...new Set(wanted)].join(", ")}`);
}
