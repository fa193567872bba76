/** Servers that tests connect to, and scripts that tell what they have seen. */
import { readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Client, Value } from "../support/client.ts";

/** A TCP server in this process. */
export interface TestServer {
  readonly port: number;
  /** Connections that are open. */
  readonly sockets: Set<Socket>;
  /** Connections that there ever were. */
  readonly accepted: () => number;
  close(): Promise<void>;
}

/** Starts a server on a free port of this machine. */
export async function serve(
  onConnection: (socket: Socket) => void,
  server: Server = createServer({ allowHalfOpen: true }),
): Promise<TestServer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on("connection", (socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("it listens nowhere");
  return {
    ...{ port: address.port, sockets, accepted: () => accepted },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** One that sends back what it gets, and the end as well. */
export const serveEcho = (): Promise<TestServer> => serve((socket) => socket.pipe(socket));

/** A script of the fixtures with these words replaced. */
export function fixture(name: string, words: Readonly<Record<string, number | string>>): string {
  const text = readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
  return Object.entries(words).reduce((all, [word, value]) => all.replaceAll(word, String(value)), text);
}

/** Runs a script, and gives what it has left in `seen`. */
export async function seenBy(client: Client, script: string, ...more: string[]): Promise<unknown> {
  const told = `${script}\nimport json\nGB('ShardsIDReader').map(lambda x: json.dumps(seen)).run()`;
  const reply = (await client.call("RG.PYEXECUTE", told, ...more)) as [[string], Value[]];
  if (reply[1].length > 0) throw new Error(String(reply[1]));
  return JSON.parse(reply[0][0]);
}
