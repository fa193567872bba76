/** What the server shows of itself: its state, its figures, and what was slow. */
import type { Engine } from "../engine/engine.ts";
import { NODE_ID } from "../executions/ids.ts";
import type { SlowExecution } from "../executions/supervisor.ts";
import type { Logger } from "../log.ts";
import { infoLines, PROMETHEUS_TYPE, prometheusText, TEXT_TYPE } from "./formats.ts";
import { type MonitoringAnswer, MonitoringServer } from "./monitoring-server.ts";
import { collectMetrics, collectTotals, type MetricSources } from "./metrics.ts";

interface VisibilityOptions extends Omit<MetricSources, "problem" | "engineUp" | "slowExecutions" | "engine"> {
  readonly engine: Engine;
  readonly port: number;
  readonly bind: string;
}

export class Visibility {
  /** How far the server is. */
  phase: "starting" | "ready" | "stopping" = "starting";
  readonly #options: VisibilityOptions;
  readonly #sources: MetricSources;
  readonly #http: MonitoringServer;
  #engineUp = true;

  constructor(options: VisibilityOptions, slow: SlowExecutions) {
    this.#options = options;
    const { engine } = options;
    engine.onStateChange = (up) => {
      this.#engineUp = up;
    };
    this.#sources = {
      ...options,
      engine: engine.description,
      problem: () => this.#problem(),
      engineUp: () => this.#engineUp,
      slowExecutions: () => slow.count,
    };
    this.#http = new MonitoringServer({
      port: options.port,
      bind: options.bind,
      metrics: () => this.metrics(),
      health: () => this.health(),
    });
  }

  /** Opens the monitoring port, before anything else is started: it says why the server is not ready. */
  listen(): Promise<void> {
    return this.#http.listen();
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  /** Why not everything is answered; undefined when it is. */
  #problem(): string | undefined {
    if (this.phase !== "ready") return `the server is ${this.phase}`;
    if (!this.#engineUp) return "the engine is not reachable";
    const { interpreters } = this.#options.interpreters();
    if (interpreters.every(({ state }) => state === "booting")) return "no Python interpreter has started yet";
    return undefined;
  }

  /** Whether everything is answered, for `/healthz`. */
  health(): MonitoringAnswer {
    const problem = this.#problem();
    return { status: problem === undefined ? 200 : 503, type: TEXT_TYPE, text: `${problem ?? "ready"}\n` };
  }

  /** All figures, in the format of Prometheus. */
  metrics(): MonitoringAnswer {
    return { status: 200, type: PROMETHEUS_TYPE, text: prometheusText(collectMetrics(this.#sources)) };
  }

  /** The lines of the section `regears` of INFO. */
  infoLines(): string[] {
    const { version, engine, engineHolder } = this.#sources;
    const state = this.#problem() ?? "ready";
    const holder = engineHolder()?.name ?? "nobody";
    const first = [`version:${version}`, `engine:${engine}`, `state:${state}`, `engine_holder:${holder}`];
    return [...first, ...infoLines(collectTotals(this.#sources))];
  }
}

/** Logs what took long. */
export class SlowExecutions {
  count = 0;
  readonly #log: Pick<Logger, "warn">;
  readonly limitMs: () => number;

  /** @param limitMs `slow-execution-ms` */
  constructor(limitMs: () => number, log: Pick<Logger, "warn">) {
    this.limitMs = limitMs;
    this.#log = log;
  }

  readonly tell = ({ kind, session, execution, registration, milliseconds }: SlowExecution): void => {
    this.count++;
    this.#log.warn(
      {
        session: session.id,
        ...(session.description !== undefined && { description: session.description }),
        ...(execution !== undefined && { execution }),
        ...(registration !== undefined && { registration: `${NODE_ID}-${registration}` }),
        milliseconds: Math.round(milliseconds),
      },
      kind === "script" ? "slow script" : "slow execution",
    );
  };
}
