/** What all clients of a server share. */
import type { CommandTable } from "../commands/command.ts";
import type { Path } from "../commands/path.ts";
import { EngineClient } from "../engine/engine-client.ts";
import { encodeCommand } from "../engine/encode.ts";
import type { Engine } from "../engine/engine.ts";
import type { OwnSettings } from "../engine/own-settings.ts";
import type { AccessEpoch } from "../engine/user-rights.ts";
import { scalarText } from "../resp/frames.ts";
import type { EngineGate } from "../engine/engine-gate.ts";
import { GATEWAY_LIMITS, type GatewayDeps, type GatewayLimits } from "./gateway-deps.ts";
import { Monitors } from "./monitors.ts";
import { Router } from "./router.ts";
import { splices } from "./splice.ts";
import { addressTranslator } from "./addresses.ts";
import { Verdicts } from "./verdicts.ts";

/** How long a verdict about rights is trusted when others can change them, in milliseconds. */
const VERDICT_LIFETIME = 1000;

export class Gateway {
  readonly engine: Engine;
  readonly gate: EngineGate;
  readonly limits: GatewayLimits;
  readonly log: GatewayDeps["log"];
  readonly commands: CommandTable;
  readonly path: Path;
  readonly rights: AccessEpoch;
  readonly slowlog: GatewayDeps["slowlog"];
  readonly router: Router;
  readonly settings: OwnSettings;
  readonly monitors = new Monitors();
  readonly #now: () => number;
  /** Must strangers authenticate? Then Redis' small limits for them apply. */
  authRequired = false;
  #questions = 0;

  constructor(deps: GatewayDeps) {
    this.engine = deps.engine;
    this.gate = deps.gate;
    this.limits = { ...GATEWAY_LIMITS, ...deps.limits };
    this.log = deps.log;
    this.commands = deps.commands;
    this.path = deps.path;
    this.settings = deps.settings;
    this.rights = deps.rights;
    this.rights.onChanged = () => void this.learnAccess();
    this.slowlog = deps.slowlog;
    const { infoSections = () => "", correctedInfo, moduleArgs = [] } = deps;
    this.path.useTranslators(
      splices({ commands: deps.commands, infoSections, correctedInfo, moduleArgs }),
      addressTranslator(deps.engine),
    );
    this.router = new Router(deps.commands, this.path);
    this.#now = deps.now ?? (() => performance.now());
  }

  /** A new client's verdicts about its rights. */
  verdicts(): Verdicts {
    const lifetime = this.engine.embedded ? Number.POSITIVE_INFINITY : VERDICT_LIFETIME;
    return new Verdicts(this.rights, lifetime, this.#now);
  }

  /** Are only clients of this machine to be served? */
  get protects(): boolean {
    return this.settings.protectedMode && !this.authRequired;
  }

  /** Asks the engine whether strangers must authenticate; an engine that can not be reached changes nothing. */
  async learnAccess(): Promise<void> {
    const client = new EngineClient(this.engine.connect());
    const question = ++this.#questions;
    try {
      const reply = await client.rawCall(encodeCommand(["PING"]), 1);
      if (question === this.#questions) this.authRequired = scalarText(reply).startsWith("NOAUTH");
    } catch (reason) {
      this.log.debug({ err: reason }, "the engine did not say whether clients must authenticate");
    } finally {
      client.close();
    }
  }
}
