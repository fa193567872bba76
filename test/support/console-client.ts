/** A client of the console's port that can send what no browser would. */
import { request } from "node:http";

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** The address of this machine by which it is reached. */
  readonly address?: string;
  /** The address from which is asked. */
  readonly from?: string;
}

export class ConsoleClient {
  readonly port: number;
  cookie = "";

  constructor(port: number) {
    this.port = port;
  }

  /** What its own page sends, unless `headers` say otherwise; a header that is empty is left out. */
  ask(path: string, { method, headers = {}, body, address = "127.0.0.1", from }: Asked = {}): Promise<Answer> {
    const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
    const verb = method ?? (text === undefined ? "GET" : "POST");
    const host = `127.0.0.1:${this.port}`;
    const own = {
      host,
      origin: verb === "POST" ? `http://${host}` : "",
      "content-type": "application/json",
      cookie: this.cookie,
    };
    const sent = Object.fromEntries(Object.entries({ ...own, ...headers }).filter(([, value]) => value !== ""));
    return new Promise((resolve, reject) => {
      const asking = request(
        { host: address, port: this.port, path, method: verb, headers: sent, agent: false, localAddress: from },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () => {
            const whole = Buffer.concat(chunks).toString();
            const isJson = response.headers["content-type"] === "application/json";
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: whole,
              json: isJson ? JSON.parse(whole) : {},
            });
          });
        },
      );
      asking.on("error", reject);
      asking.end(text);
    });
  }

  async login(user = "default", password = ""): Promise<Answer> {
    const answer = await this.ask("/api/login", { body: { user, password } });
    const [cookie] = [answer.headers["set-cookie"] ?? []].flat();
    this.cookie = cookie?.split(";")[0] ?? this.cookie;
    return answer;
  }

  /** The reply to a command, an error as `{ error }`. */
  async run(...args: readonly string[]): Promise<unknown> {
    const { status, json } = await this.ask("/api/run", { body: { args } });
    return status === 200 ? json.reply : json;
  }
}
