/** The HTTP port for monitoring: `/metrics` and `/healthz`, and nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { listening } from "../listening.ts";
import { PROMETHEUS_TYPE } from "./formats.ts";

interface MonitoringOptions {
  readonly port: number;
  readonly bind: string;
  readonly metrics: () => string;
  /** Undefined when the server is ready, else why it is not. */
  readonly problem: () => string | undefined;
}

/** Whoever is here asks small questions and reads the answer. */
const TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 64;

export class MonitoringServer {
  readonly #options: MonitoringOptions;
  #server: Server | undefined;

  constructor(options: MonitoringOptions) {
    this.#options = options;
  }

  /** Begins to listen; does nothing without a port. @throws InternalError when the address can not be used */
  async listen(): Promise<void> {
    const { port, bind } = this.#options;
    if (port === 0) return;
    const server = createServer({ requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS }, (request, response) => {
      this.#answer(request, response);
    });
    server.maxConnections = MAX_CONNECTIONS;
    await listening(server, { port, host: bind });
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const send = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(text);
    };
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      send(405, "only GET\n");
      return;
    }
    switch (request.url?.split("?")[0]) {
      case "/metrics":
        send(200, this.#options.metrics(), PROMETHEUS_TYPE);
        break;
      case "/healthz": {
        const problem = this.#options.problem();
        send(problem === undefined ? 200 : 503, `${problem ?? "ready"}\n`);
        break;
      }
      default:
        send(404, "there are /metrics and /healthz\n");
    }
  }
}
