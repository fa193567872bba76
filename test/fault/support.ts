/** What the tests of faults share: servers with folders of their own. */
import { afterEach } from "vitest";
import type { Client } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { newFolder } from "../support/folders.ts";

const running: RunningRegears[] = [];

/** To be called once in a file: ends the servers of a test after it. */
export function endServersAfterEach(): void {
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop("SIGKILL")));
  });
}

/** Starts the server; it is ended after the test, however that ends. */
export async function startServer(args: readonly string[] = []): Promise<RunningRegears> {
  const server = await startRegears(["--dir", newFolder(), ...args]);
  running.push(server);
  return server;
}

/** The value of a field of INFO. */
export async function info(client: Client, field: string): Promise<number> {
  const [, value] = new RegExp(`^${field}:(\\d+)`, "m").exec(String(await client.call("INFO", "everything"))) ?? [];
  return Number(value);
}
