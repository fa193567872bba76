/**
 * The HTTP port of the console: a page for browsers, and what the page asks. There is no data without a login, and nothing is
 * done for other pages that a browser has open. docs/security.md says what is promised of it.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { TlsOptions } from "node:tls";
import { listening } from "../listening.ts";
import type { Logger } from "../log.ts";
import { PageFiles } from "./page-files.ts";
import type { ConsoleCommands } from "./console-commands.ts";
import { isForeignSite, isKnownHost, type Refusal, refusedAsForeign } from "./guard.ts";
import type { History } from "./history.ts";
import { type Login, Logins } from "./logins.ts";
import type { LogStreams } from "./log-streams.ts";
import type { Monitoring } from "./monitoring.ts";
import type { Part } from "./page/wire.ts";
import { replyJson } from "./reply-json.ts";
import type { Slowest } from "./slowest.ts";

export interface ConsoleOptions {
  readonly port: number;
  readonly bind: string;
  /** How it speaks TLS; undefined: it does not. */
  readonly tls: TlsOptions | undefined;
  /** Names by which browsers may call it, see {@link isKnownHost}. */
  readonly names: readonly string[];
  /** Longest request, in bytes. */
  readonly maxBody: number;
  readonly commands: ConsoleCommands;
  readonly history: History;
  readonly slowest: Slowest;
  readonly monitoring: Monitoring;
  readonly logs: LogStreams;
  /** Is this client's address one of this machine? */
  readonly isLocal: (socket: IncomingMessage["socket"]) => boolean;
  /** Are only clients of this machine served? */
  readonly protects: () => boolean;
  /** Is there a password? */
  readonly authRequired: () => boolean;
  readonly log: Pick<Logger, "error" | "info" | "warn">;
}

/** Milliseconds in which a request has to come. */
const TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 128;
/** Longest request of somebody who is not logged in. */
const MAX_STRANGER_BODY = 4 * 1024;
const MAX_ARGUMENTS = 1024;

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "cache-control": "no-store",
} as const;

type Handler = (exchange: Exchange) => Promise<void> | void;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly login: Login;
}

export class ConsoleServer {
  readonly #options: ConsoleOptions;
  readonly #logins: Logins;
  #files: PageFiles | undefined;
  #server: Server | undefined;

  constructor(options: ConsoleOptions) {
    this.#options = options;
    this.#logins = new Logins({
      authenticate: (user, password) => options.commands.authenticate(user, password),
    });
  }

  /** Begins to listen; does nothing without a port. @throws InternalError when the address can not be used */
  async listen(): Promise<void> {
    const { port, bind, tls, history, log } = this.#options;
    if (port === 0) return;
    this.#files = new PageFiles();
    const limits = { requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, connectionsCheckingInterval: 1_000 };
    const answer: RequestListener = (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        log.error({ err: error }, "a request of the console could not be dealt with");
        if (response.headersSent) response.destroy();
        else send(response, 500, { error: "ERR internal error" });
      });
    };
    const server = tls ? createTlsServer({ ...tls, ...limits }, answer) : createServer(limits, answer);
    server.maxConnections = MAX_CONNECTIONS;
    await listening(server, { port, host: bind });
    this.#server = server;
    history.start();
    this.#options.logs.start();
    log.info({ port, bind }, "the console is open");
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#options.history.stop();
    this.#logins.endAll();
    if (!server) return;
    this.#server = undefined;
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const refusal = this.#refusal(request);
    if (refusal) refuse(response, refusal);
    else if (path.startsWith("/api/")) await this.#api(path, request, response);
    else if (path === "/healthz") this.#options.monitoring.health(response);
    else if (path === "/metrics") await this.#metrics(request, response);
    else this.#file(path, request, response);
  }

  /** Is anything answered at all? */
  #refusal({ socket, headers, method }: IncomingMessage): Refusal | undefined {
    const { names, bind, protects, isLocal } = this.#options;
    if (!isKnownHost(headers.host, [...names, bind]))
      return { status: 421, text: "unknown name: start the server with --http-host and this name, or use the address" };
    if (protects() && !isLocal(socket))
      return { status: 403, text: "protected mode: without a password only this machine is served" };
    if (!["GET", "HEAD", "POST"].includes(method ?? "")) return { status: 405, text: "only GET and POST" };
    return undefined;
  }

  #file(path: string, request: IncomingMessage, response: ServerResponse): void {
    const file = this.#files?.find(path);
    if (!file || request.method === "POST") {
      refuse(response, { status: file ? 405 : 404, text: file ? "only GET" : "there is no such page" });
      return;
    }
    const zipped = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
    response.writeHead(200, {
      "content-type": file.type,
      vary: "accept-encoding",
      ...(zipped && { "content-encoding": "gzip" }),
    });
    response.end(request.method === "HEAD" ? undefined : zipped ? file.gzip : file.bytes);
  }

  /** For programs, which have no cookie: they send user and password each time, where there are some. */
  async #metrics(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { monitoring, commands } = this.#options;
    const foreign = isForeignSite(request.headers);
    if (foreign) return refuse(response, foreign);
    const user = this.#loginOf(request)?.user ?? (await monitoring.userOf(request, this.#logins));
    if (typeof user !== "string") {
      response.setHeader("www-authenticate", 'Basic realm="regears"');
      return refuse(response, user);
    }
    const refused = await commands.refusal(user, [Buffer.from("rg.info")]);
    if (refused !== undefined) return refuse(response, { status: 403, text: refused });
    monitoring.figures(response);
  }

  async #api(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? "";
    const foreign = refusedAsForeign({ method, headers: request.headers });
    if (foreign) return refuse(response, foreign);
    const asked = `${method} ${path}`;
    if (asked === "POST /api/login") return this.#login(request, response);
    const login = this.#loginOf(request);
    if (!login) {
      const passwordless = !this.#options.authRequired();
      return send(response, 401, { error: "NOAUTH log in first", passwordless });
    }
    const handler = this.#handlers[asked];
    if (!handler) return refuse(response, { status: 404, text: "there is no such thing" });
    await handler({ request, response, login });
  }

  readonly #handlers: Readonly<Record<string, Handler>> = {
    "GET /api/session": ({ response, login }) => send(response, 200, { user: login.user }),
    "POST /api/logout": ({ request, response, login }) => {
      this.#logins.end(login);
      response.setHeader("set-cookie", cookieOf(request, "", "Max-Age=0"));
      send(response, 200, {});
    },
    "POST /api/run": (exchange) => this.#run(exchange),
    "GET /api/history": async ({ request, response, login }) => {
      if (!(await this.#mayRead(login, response))) return;
      send(response, 200, this.#options.history.since(Number(queryOf(request).get("after") ?? 0)));
    },
    "GET /api/slow": async ({ response, login }) => {
      if (await this.#mayRead(login, response)) send(response, 200, this.#options.slowest.all);
    },
    "GET /api/log": async ({ response, login }) => {
      if (!(await this.#mayRead(login, response))) return;
      const refused = this.#options.logs.open(response, login.ended, () => this.#readRefusal(login));
      if (refused) refuse(response, refused);
    },
  };

  async #login(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request, MAX_STRANGER_BODY);
    if (body === undefined) return refuse(response, { status: 413, text: "too long" });
    const { user = "default", password = "" } = asObject(body);
    if (typeof user !== "string" || typeof password !== "string")
      return refuse(response, { status: 400, text: "user and password are texts" });
    const login = await this.#logins.begin(user, password, request.socket.remoteAddress ?? "");
    if (typeof login === "string") return send(response, 401, { error: login });
    const old = this.#loginOf(request);
    if (old) this.#logins.end(old);
    response.setHeader("set-cookie", cookieOf(request, login.token));
    send(response, 200, { user: login.user });
  }

  async #run({ request, response, login }: Exchange): Promise<void> {
    const body = await bodyOf(request, this.#options.maxBody);
    if (body === undefined) return refuse(response, { status: 413, text: "too long" });
    const { args, part: asked } = asObject(body);
    if (!isTexts(args)) return refuse(response, { status: 400, text: "args is a list of texts" });
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const words = args.map((arg) => Buffer.from(arg));
    const part = partOf(asked);
    const reply = await this.#options.commands.run(login, words, {
      gone: gone.signal,
      local: this.#options.isLocal(request.socket),
      // who looks for a text looks at all of them
      looked: part?.match === "" ? part : undefined,
    });
    send(response, 200, { reply: replyJson(reply, part) });
  }

  /** What has no command of its own needs the right to read, as RG.DUMPEXECUTIONS does. */
  async #mayRead(login: Login, response: ServerResponse): Promise<boolean> {
    const refused = await this.#readRefusal(login);
    if (refused !== undefined) send(response, 403, { error: refused });
    return refused === undefined;
  }

  #readRefusal({ user }: Login): Promise<string | undefined> {
    return this.#options.commands.refusal(user, [Buffer.from("rg.dumpexecutions")]);
  }

  #loginOf({ headers, socket }: IncomingMessage): Login | undefined {
    const name = cookieName(socket.localPort);
    const parts = (headers.cookie ?? "").split(";").map((part) => part.trim());
    return this.#logins.find(parts.find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1));
  }
}

/** Cookies do not know ports: servers on one machine have names of their own. */
const cookieName = (port: number | undefined): string => `regears-${port ?? 0}`;

function cookieOf({ socket }: IncomingMessage, token: string, more = ""): string {
  const secure = "encrypted" in socket ? "Secure" : "";
  const parts = [`${cookieName(socket.localPort)}=${token}`, "HttpOnly", "SameSite=Strict", "Path=/", secure, more];
  return parts.filter(Boolean).join("; ");
}

const queryOf = ({ url }: IncomingMessage): URLSearchParams => new URL(url ?? "/", "http://console").searchParams;

/** What of a reply is wanted; undefined: all, or it is no such thing. */
function partOf(value: unknown): Part | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { from, most, match } = value as Record<string, unknown>;
  const isCount = (count: unknown): count is number => Number.isSafeInteger(count) && Number(count) >= 0;
  return isCount(from) && isCount(most) && typeof match === "string" ? { from, most, match } : undefined;
}

function send(response: ServerResponse, status: number, value: unknown): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

/** What is still to come of the request is not waited for. */
function refuse(response: ServerResponse, { status, text }: Refusal): void {
  response.setHeader("connection", "close");
  send(response, status, { error: text });
}

/** The body of a request; undefined when it is longer than it may be. */
async function bodyOf(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > limit) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) return undefined;
      chunks.push(chunk);
    }
  } catch {
    // it was cut off: nobody waits for the answer
  }
  return Buffer.concat(chunks);
}

function asObject(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.length <= MAX_ARGUMENTS &&
  value.every((item) => typeof item === "string");
