/** What clients may use, and what the gateway's parts are given. */
import type { CommandTable } from "../commands/command.ts";
import type { CommandRights } from "../commands/command-rights.ts";
import type { Path } from "../commands/path.ts";
import type { Engine } from "../engine/engine.ts";
import type { OwnSettings } from "../engine/own-settings.ts";
import type { AccessEpoch } from "../engine/rights.ts";
import type { Logger } from "../log.ts";
import { REQUEST_LIMITS, type RequestLimits } from "../resp/request.ts";
import type { EngineGate } from "../engine/gate.ts";
import type { Slowlog } from "./slowlog.ts";

export interface GatewayLimits extends RequestLimits {
  /** Most clients at a time. */
  readonly maxClients: number;
  /** Most bytes of replies that may wait for one client; beyond that it is disconnected. */
  readonly maxOutput: number;
  /** How long a client that has stopped sending still gets the replies it is owed, in milliseconds. */
  readonly lingerMs: number;
  /** How long a client whose connection is to be closed may read nothing of what it still gets, in milliseconds. */
  readonly stalledMs: number;
}

export const GATEWAY_LIMITS: GatewayLimits = {
  ...REQUEST_LIMITS,
  maxClients: 10_000,
  maxOutput: 1024 * 1024 * 1024,
  lingerMs: 100,
  stalledMs: 10_000,
};

export interface GatewayDeps {
  readonly engine: Engine;
  readonly commands: CommandTable;
  readonly gate: EngineGate;
  readonly limits?: Partial<GatewayLimits>;
  readonly log: Pick<Logger, "debug" | "info" | "warn" | "error">;
  /** What else there is to be done about commands; nothing unless given. */
  readonly path?: Path;
  /** Told of every change of rights that passes here; to be advanced by whoever else lets commands change rights. */
  readonly rights?: AccessEpoch;
  /** Those of `limits`, without protected mode, unless given. */
  readonly settings?: OwnSettings;
  /** Asked about commands that something else than the client's engine connection carries out. */
  readonly permissions?: Pick<CommandRights, "refusal">;
  /** Is told of commands of ours that took time. */
  readonly slowlog?: Pick<Slowlog, "note">;
  /** See {@link SpliceSources}. */
  readonly infoSections?: (sections: readonly string[]) => string;
  readonly correctedInfo?: (info: Buffer) => Buffer;
  readonly moduleArgs?: readonly string[];
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}
