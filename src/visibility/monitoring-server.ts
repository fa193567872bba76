/** The HTTP port for monitoring: `/metrics` and `/healthz`, and nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { listening } from "../listening.ts";
import { TEXT_TYPE } from "./formats.ts";

/** What is answered to `/metrics` and `/healthz`, here and at the port of the console. */
export interface MonitoringAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

interface MonitoringOptions {
  readonly port: number;
  readonly bind: string;
  readonly metrics: () => MonitoringAnswer;
  readonly health: () => MonitoringAnswer;
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
    const send = ({ status, type, text }: MonitoringAnswer): void => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(text);
    };
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      send({ status: 405, type: TEXT_TYPE, text: "only GET\n" });
      return;
    }
    switch (request.url?.split("?")[0]) {
      case "/metrics":
        send(this.#options.metrics());
        break;
      case "/healthz":
        send(this.#options.health());
        break;
      default:
        send({ status: 404, type: TEXT_TYPE, text: "there are /metrics and /healthz\n" });
    }
  }
}
