/** `/metrics` and `/healthz` at the console's port: the same as at `metrics-port`, but figures are for users only. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Refusal } from "./guard.ts";
import type { Logins } from "./logins.ts";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** What is answered at `metrics-port`. */
export interface Shown {
  health(): Answer;
  metrics(): Answer;
}

export class Monitoring {
  readonly #shown: Shown;
  readonly #authRequired: () => boolean;

  /** @param authRequired is there a password? */
  constructor(shown: Shown, authRequired: () => boolean) {
    this.#shown = shown;
    this.#authRequired = authRequired;
  }

  health(response: ServerResponse): void {
    send(response, this.#shown.health());
  }

  figures(response: ServerResponse): void {
    send(response, this.#shown.metrics());
  }

  /** Who asks without a cookie, by what a program sends with each request (`basic_auth` of Prometheus), or why they get nothing. */
  async userOf(request: IncomingMessage, logins: Logins): Promise<string | Refusal> {
    const given = credentialsOf(request);
    if (!given) return this.#authRequired() ? UNKNOWN : "default";
    const text = await logins.refusal(given.user, given.password, request.socket.remoteAddress ?? "");
    return text === undefined ? given.user : { status: 401, text };
  }
}

function send(response: ServerResponse, { status, type, text }: Answer): void {
  response.writeHead(status, { "content-type": type }).end(text);
}

const UNKNOWN: Refusal = { status: 401, text: "NOAUTH send user and password (basic authentication)" };

function credentialsOf({ headers }: IncomingMessage): { user: string; password: string } | undefined {
  const [, encoded] = /^basic ([a-z0-9+/=]+)$/i.exec(headers.authorization ?? "") ?? [];
  if (encoded === undefined) return undefined;
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString("utf8")) ?? [];
  return user === undefined || password === undefined ? undefined : { user, password };
}
