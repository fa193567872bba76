/**
 * What the engine is not to get as it was sent, whoever sends it: parameters of CONFIG that are the server's, replication,
 * and what DEBUG could do to an engine in this process; and what changes rights, which others have to be told.
 */
import { debugRefusal } from "../engine/debug.ts";
import { encodeCommand } from "../engine/encode.ts";
import type { OwnSettings } from "../engine/own-settings.ts";
import type { AccessEpoch } from "../engine/user-rights.ts";
import { hasForm, traitsOf } from "../engine/traits.ts";
import type { Translator } from "./path.ts";

interface TranslatorOptions {
  /** Those of the engine in this process; an engine by URL has settings of its own, which nobody translates. */
  readonly settings: OwnSettings;
  readonly rights: Pick<AccessEpoch, "advance" | "changed">;
  /** Can the engine have replicas through this server? */
  readonly replicates?: boolean;
}

const EVERYBODY = ["client", "python"] as const;
/** Refused for their arity, so that a transaction knows of it. */
const WRONG_SYNC = encodeCommand(["SYNC", "x"]);
const WRONG_REPLICAOF = encodeCommand(["REPLICAOF", "x"]);
const WRONG_DEBUG = encodeCommand(["DEBUG"]);
/** Refused for what it names, after the question whether the client has the right to DEBUG. */
const UNKNOWN_DEBUG = encodeCommand(["DEBUG", "REGEARS"]);
const REPLICATION_REFUSED = "ERR replication is not available through this server";

export const engineTranslators = ({ settings, rights, replicates = false }: TranslatorOptions): Translator[] => [
  {
    of: EVERYBODY,
    names: ["acl", "config"],
    translate(name, request) {
      const args = request.copy(0);
      const own = settings.translate(args);
      const changes = hasForm(traitsOf(name).changesRights, args);
      if (!changes) return own && { request: encodeCommand(own.args), settle: own.settle };
      rights.advance();
      const settle = (frame: Buffer): Buffer => {
        // noted before anybody finds out what has changed
        const shown = own ? own.settle(frame) : frame;
        rights.changed();
        return shown;
      };
      return own ? { request: encodeCommand(own.args), settle } : { settle };
    },
  },
  ...(replicates ? [] : [replicationTranslator]),
  ...(settings.embedded ? [replicaTranslator, debugTranslator(settings)] : []),
];

/**
 * Replicas of a server by URL are better off with that server itself, and the dump that they get is written into a folder. (Python code may not send these commands, like others
 * that make something else of a connection.)
 */
const replicationTranslator: Translator = {
  of: ["client"],
  names: ["sync", "psync", "replconf"],
  translate: () => ({ refused: REPLICATION_REFUSED, probe: () => WRONG_SYNC }),
};

/** The engine in this process has no network by which it could reach a master: as a replica it would only stop taking writes. */
const replicaTranslator: Translator = {
  of: EVERYBODY,
  names: ["replicaof", "slaveof"],
  translate(_name, request) {
    if (request.count !== 3 || /^no one$/i.test(request.copy(1).join(" "))) return undefined;
    return { refused: REPLICATION_REFUSED, probe: () => WRONG_REPLICAOF };
  },
};

const debugTranslator = ({ debug }: OwnSettings): Translator => ({
  of: EVERYBODY,
  names: ["debug"],
  translate(_name, request, { local }) {
    const refused = debugRefusal(request.copy(0), debug === "yes" || (debug === "local" && local));
    if (refused === undefined) return undefined;
    return { refused, probe: (queued) => (queued ? WRONG_DEBUG : UNKNOWN_DEBUG) };
  },
});
