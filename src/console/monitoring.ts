/** `/metrics` and `/healthz` at the console's port: the same as at `metrics-port`, but figures are for users only. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Refusal } from "./guard.ts";
import type { Logins } from "./logins.ts";

interface MonitoringOptions {
  /** All figures, in the format of Prometheus. */
  readonly metrics: () => string;
  /** Why not everything is answered; undefined when it is. */
  readonly problem: () => string | undefined;
  /** Is there a password? */
  readonly authRequired: () => boolean;
}

const TEXT = "text/plain; charset=utf-8";
const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export class Monitoring {
  readonly #options: MonitoringOptions;

  constructor(options: MonitoringOptions) {
    this.#options = options;
  }

  health(response: ServerResponse): void {
    const problem = this.#options.problem();
    response.writeHead(problem === undefined ? 200 : 503, { "content-type": TEXT }).end(`${problem ?? "ready"}\n`);
  }

  figures(response: ServerResponse): void {
    response.writeHead(200, { "content-type": PROMETHEUS_TYPE }).end(this.#options.metrics());
  }

  /** Who asks, by what a program sends with each request (`basic_auth` of Prometheus). */
  userOf(request: IncomingMessage): string {
    return credentialsOf(request)?.user ?? "default";
  }

  /** Why somebody without a cookie gets no figures; undefined: they get them. */
  async refusal(request: IncomingMessage, logins: Logins): Promise<Refusal | undefined> {
    const given = credentialsOf(request);
    if (!given) return this.#options.authRequired() ? UNKNOWN : undefined;
    const text = await logins.refusal(given.user, given.password, request.socket.remoteAddress ?? "");
    return text === undefined ? undefined : { status: 401, text };
  }
}

const UNKNOWN: Refusal = { status: 401, text: "NOAUTH send user and password (basic authentication)" };

function credentialsOf({ headers }: IncomingMessage): { user: string; password: string } | undefined {
  const [, encoded] = /^basic ([a-z0-9+/=]+)$/i.exec(headers.authorization ?? "") ?? [];
  if (encoded === undefined) return undefined;
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString("utf8")) ?? [];
  return user === undefined || password === undefined ? undefined : { user, password };
}
