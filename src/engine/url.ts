/** The URLs of engines. */
import type { IpcNetConnectOpts, TcpNetConnectOpts } from "node:net";
import { ConfigError } from "../config.ts";

/** Where a server is, and how to log in there. */
export interface EngineAddress {
  readonly connect: TcpNetConnectOpts | IpcNetConnectOpts;
  readonly tls: boolean;
  /** Undefined for the default user. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** The URL without its password. */
  readonly description: string;
}

const DEFAULT_PORT = 6379;

// The URL class refuses unix://user:password@/path, because it has a user and no host.
const URL_PARTS =
  /^(?<scheme>redis|rediss|unix):\/\/(?:(?<user>[^:@/?]*)(?::(?<password>[^@/?]*))?@)?(?<host>\[[\da-f:.]+\]|[^:/?@]*)(?::(?<port>\d{1,5}))?(?<path>\/[^?]*)?(?:\?(?<query>.*))?$/i;

/**
 * Reads `redis://[[user]:password@]host[:port][/db]`, `rediss://…` (TLS), `unix://[[user]:password@]/path[?db=0]`.
 * Parts with special characters are percent-encoded.
 * @param peer what people call that server
 * @throws ConfigError when the URL is none of these; its text never holds the password
 */
export function parseEngineUrl(text: string, peer = "the engine"): EngineAddress {
  const parts = URL_PARTS.exec(text)?.groups;
  if (parts === undefined) {
    throw new ConfigError(`${peer}'s URL must look like redis://host:6379/0, rediss://… or unix:///path?db=0`);
  }
  const scheme = (parts.scheme ?? "").toLowerCase();
  const host = decoded(parts.host, peer).replace(/^\[(.*)\]$/, "$1");
  const path = decoded(parts.path, peer);
  const query = new URLSearchParams(parts.query ?? "").get("db");
  const credentials = {
    user: decoded(parts.user, peer) || undefined,
    password: decoded(parts.password, peer) || undefined,
  };
  const shownUser = credentials.user === undefined ? "" : `${parts.user}@`;
  if (scheme === "unix") {
    if (host !== "" || parts.port !== undefined || path.length < 2) {
      throw new ConfigError("a unix:// URL needs an absolute path, like unix:///run/redis.sock");
    }
    const database = databaseOf(query ?? "", peer);
    const description = `unix://${shownUser}${parts.path}${database === 0 ? "" : `?db=${database}`}`;
    return { ...credentials, connect: { path }, tls: false, database, description };
  }
  const port = parts.port === undefined ? DEFAULT_PORT : Number(parts.port);
  if (port < 1 || port > 65_535) throw new ConfigError(`${peer}'s URL has no valid port: ${port}`);
  const database = databaseOf(path.slice(1) || (query ?? ""), peer);
  const shownHost = host.includes(":") ? `[${host}]` : host || "127.0.0.1";
  return {
    ...credentials,
    connect: { host: host || "127.0.0.1", port, noDelay: true },
    tls: scheme === "rediss",
    database,
    description: `${scheme}://${shownUser}${shownHost}:${port}/${database}`,
  };
}

function decoded(text: string | undefined, peer: string): string {
  try {
    return decodeURIComponent(text ?? "");
  } catch {
    throw new ConfigError(`${peer}'s URL has a % that is not followed by two hexadecimal digits`);
  }
}

function databaseOf(text: string, peer: string): number {
  if (text === "") return 0;
  if (!/^\d{1,9}$/.test(text)) throw new ConfigError(`${peer}'s URL names no database: a number is expected`);
  return Number(text);
}
