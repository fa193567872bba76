/** What clients may use, and what the gateway's parts are given. */
import type { CommandTable } from "../commands/command.ts";
import type { Path } from "../commands/path.ts";
import type { Engine } from "../engine/engine.ts";
import type { OwnSettings } from "../engine/own-settings.ts";
import type { AccessEpoch } from "../engine/user-rights.ts";
import type { Logger } from "../log.ts";
import { REQUEST_LIMITS, type RequestLimits } from "../resp/request-decoder.ts";
import type { EngineGate } from "../engine/engine-gate.ts";
import type { Slowlog } from "./slowlog.ts";

export interface GatewayLimits extends RequestLimits {
  /** Most bytes of replies that may wait for one client; beyond that it is disconnected. */
  readonly maxOutput: number;
  /** How long a client that has stopped sending still gets the replies it is owed, in milliseconds. */
  readonly lingerMs: number;
  /** How long a client whose connection is to be closed may read nothing of what it still gets, in milliseconds. */
  readonly stalledMs: number;
}

export const GATEWAY_LIMITS: GatewayLimits = {
  ...REQUEST_LIMITS,
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
  /** The way of all commands. */
  readonly path: Path;
  /** Counts changes of rights. */
  readonly rights: AccessEpoch;
  readonly settings: OwnSettings;
  /** Is told of commands of ours that took time. */
  readonly slowlog?: Pick<Slowlog, "note">;
  /** See {@link SpliceSources}. */
  readonly infoSections?: (sections: readonly string[]) => string;
  readonly correctedInfo?: (info: Buffer) => Buffer;
  readonly moduleArgs?: readonly string[];
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}
