/** The server that a command of the program works with: one that `--embedded` starts, or the one that `--url` names. */
import { ConfigError } from "../config.ts";
import { fill, startEmbedded } from "./embedded-server.ts";
import type { CommandArguments } from "./program-commands.ts";
import { defaultUrl, Unreachable } from "./server-client.ts";

type ServerArguments = Pick<CommandArguments, "options" | "server">;

/** @throws ConfigError when there are options for a server that is not started */
export function checkServerOptions({ options, server }: ServerArguments): void {
  if (!options.has("embedded") && server.length > 0)
    throw new ConfigError(`option '${server[0]}' is for --embedded only`);
}

/**
 * Fills the server with what `--load` names, and uses it. One that was started for this ends afterwards.
 * @throws what `use` throws, ConfigError for files that can not be loaded, InternalError when there is no server
 */
export async function withServer<T>(
  { options, server }: ServerArguments,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const files = options.get("load") ?? [];
  const started = options.has("embedded")
    ? await startEmbedded(server, files, (line) => process.stderr.write(`${line}\n`))
    : undefined;
  const named = started?.url ?? options.get("url")?.at(-1);
  const url = named ?? defaultUrl();
  try {
    if (!started) await fill(url, files, false);
    return await use(url);
  } catch (error) {
    if (named !== undefined || !(error instanceof Unreachable)) throw error;
    throw new Unreachable(`${error.message}; regears starts a server, --url names another, --embedded needs none`);
  } finally {
    await started?.close();
  }
}
