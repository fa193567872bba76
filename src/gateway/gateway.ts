/** What all clients of a server share. */
import { Path } from "../commands/path.ts";
import { EngineClient } from "../engine/client.ts";
import { encodeCommand } from "../engine/encode.ts";
import type { Engine } from "../engine/engine.ts";
import { OwnSettings } from "../engine/own-settings.ts";
import { AccessEpoch } from "../engine/rights.ts";
import { scalarText } from "../resp/frames.ts";
import type { EngineGate } from "../engine/gate.ts";
import { GATEWAY_LIMITS, type GatewayDeps, type GatewayLimits } from "./limits.ts";
import { Monitors } from "./monitors.ts";
import { Router } from "./router.ts";
import type { SpliceSources } from "./splice.ts";
import { Verdicts } from "./verdicts.ts";

/** How long a verdict about rights is trusted when others can change them, in milliseconds. */
const VERDICT_LIFETIME = 1000;

export class Gateway {
  readonly engine: Engine;
  readonly gate: EngineGate;
  readonly limits: GatewayLimits;
  readonly log: GatewayDeps["log"];
  readonly path: Path;
  readonly rights: AccessEpoch;
  readonly permissions: GatewayDeps["permissions"];
  readonly slowlog: GatewayDeps["slowlog"];
  readonly router: Router;
  readonly sources: SpliceSources;
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
    this.path = deps.path ?? new Path(deps.commands);
    const { maxClients } = this.limits;
    this.settings = deps.settings ?? new OwnSettings({ protectedMode: false, maxClients }, deps.engine.embedded);
    this.rights = deps.rights ?? new AccessEpoch();
    this.rights.onChanged = () => void this.learnAccess();
    this.permissions = deps.permissions;
    this.slowlog = deps.slowlog;
    this.router = new Router(deps.commands, this.path.always);
    this.sources = {
      commands: deps.commands,
      infoSections: deps.infoSections ?? (() => ""),
      correctedInfo: deps.correctedInfo,
      moduleArgs: deps.moduleArgs ?? [],
    };
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
