/** Asks a running server whether it answers; what `regears --healthcheck` does. */
import { connect } from "node:net";
import { reachable } from "./server-url.ts";

interface HealthcheckTarget {
  readonly host: string;
  readonly port: number;
  /** Path of a Unix socket, used instead of host and port when it is not empty. */
  readonly unixsocket: string;
  readonly timeoutMs: number;
}

/**
 * Sends PING. A server that asks for a password is healthy too.
 * @returns the server's answer when it is one of a healthy server, else the reason as an error.
 */
export function ping(target: HealthcheckTarget): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = target.unixsocket === "" ? connect(target.port, reachable(target.host)) : connect(target.unixsocket);
    let answer = "";
    const end = (settle: () => void): void => {
      socket.destroy();
      settle();
    };
    socket.setTimeout(target.timeoutMs, () => end(() => reject(new Error(`no answer in ${target.timeoutMs} ms`))));
    socket.on("connect", () => socket.write("*1\r\n$4\r\nPING\r\n"));
    socket.on("data", (bytes) => {
      answer += bytes.toString("latin1");
      const line = /^([^\r]*)\r\n/.exec(answer)?.[1];
      if (line === undefined) return;
      end(() => (/^(\+PONG|-NOAUTH)/.test(line) ? resolve(line.slice(1)) : reject(new Error(line))));
    });
    socket.on("error", (error) => end(() => reject(error)));
    socket.on("close", () => reject(new Error("the server closed the connection")));
  });
}
