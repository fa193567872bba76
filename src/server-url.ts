/** Where a server can be reached that listens as it is configured. */
import { resolve } from "node:path";
import type { Config } from "./config.ts";

/** An address to reach a server that listens on all addresses. */
export const reachable = (bind: string): string =>
  ({ "0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1" })[bind] ?? bind;

/**
 * The URL for clients on this machine, with the password of `requirepass`. The user is named, for redis-cli and others send
 * the name of a user that is empty, too.
 * @param port the TCP port without TLS that it listens on; 0: none
 */
export function serverUrl({ bind, requirepass, tlsPort, unixsocket }: Config, port: number): string {
  const login = requirepass === "" ? "" : `default:${encodeURIComponent(requirepass)}@`;
  if (port === 0 && tlsPort === 0)
    return `unix://${login}${resolve(unixsocket).split("/").map(encodeURIComponent).join("/")}`;
  const address = reachable(bind);
  const host = address.includes(":") ? `[${address}]` : address;
  return port === 0 ? `rediss://${login}${host}:${tlsPort}` : `redis://${login}${host}:${port}`;
}
