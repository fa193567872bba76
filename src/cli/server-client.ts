/** A connection to a server, for the commands of the program. */
import { EngineClient, EngineClosed, EngineError } from "../engine/engine-client.ts";
import { UpstreamConnection } from "../engine/upstream-connection.ts";
import { parseEngineUrl } from "../engine/url.ts";
import { InternalError } from "../errors.ts";

const CONNECT_TIMEOUT_MS = 5_000;
/** What people call the other end. */
const PEER = "the server";
const LOCAL = "redis://127.0.0.1:6379";

/** The server that is meant when none is named: the variable tells it to whatever `regears exec` runs. */
export const defaultUrl = (): string => process.env.REDIS_URL || LOCAL;

/** Nobody answers there. */
export class Unreachable extends InternalError {
  override name = "Unreachable";
}

/**
 * Connects to a server.
 * @param url as for the option `engine`
 * @throws ConfigError for what is no URL, Unreachable when nobody answers there, ReplyError when the login is refused
 */
export async function connectTo(url: string): Promise<EngineClient> {
  const address = parseEngineUrl(url, PEER);
  const down = `${address.description} can not be reached`;
  const connection = new UpstreamConnection(address, {}, CONNECT_TIMEOUT_MS, down, PEER);
  const client = new EngineClient(connection, undefined, PEER);
  try {
    await client.call("PING");
  } catch (error) {
    // a user without the right to PING may have all others
    if (error instanceof EngineError && error.message.startsWith("NOPERM ")) return client;
    client.close();
    throw error instanceof EngineClosed ? new Unreachable(error.message, { cause: error }) : error;
  }
  return client;
}
