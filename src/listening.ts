/** Makes servers listen. */
import type { Server } from "node:net";
import { InternalError } from "./errors.ts";

/** Where a server is to listen: an address of the network, or the path of a unix socket. */
interface ListenAddress {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
  /** Most connections that may wait to be accepted. */
  readonly backlog?: number;
}

/** Resolves when the server listens. @throws InternalError that names the address when that can not be used */
export function listening(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (reason: Error): void => reject(refused(address, reason));
    server.once("error", refuse);
    server.listen(address, () => {
      server.off("error", refuse);
      resolve();
    });
  });
}

function refused({ path, host, port }: ListenAddress, reason: Error): InternalError {
  const taken = "code" in reason && reason.code === "EADDRINUSE";
  const text = taken ? "it is in use already (EADDRINUSE)" : reason.message;
  return new InternalError(`can not listen on ${path ?? `${host}:${port}`}: ${text}`, { cause: reason });
}
