/** What outlives a restart. */
import { Persistence } from "../store/persistence.ts";
import { version } from "../version.ts";
import type { ReactionParts } from "./reactions.ts";

/** Serialised functions load in this minor version only. */
const PYTHON_VERSION = "3.14";

/** Builds what reads and writes the files of `dir`. */
export function createPersistence(parts: ReactionParts): Persistence {
  const { config, log, engine, connections, gate, host, ids, sessions, runner, registrations, timers } = parts;
  return new Persistence({
    directory: config.dir,
    repair: config.repair,
    save: config.save,
    embedded: engine.embedded,
    versions: { regears: version(), python: PYTHON_VERSION },
    ...{ connections, gate, registrations, sessions, ids, host, runner, timers, log },
  });
}
