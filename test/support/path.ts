/** Commands on their way without a gateway. */
import type { Caller } from "../../src/commands/caller.ts";
import type { Middleware, RequestView } from "../../src/commands/path.ts";
import { Path } from "../../src/commands/path.ts";
import type { CommandTable } from "../../src/commands/command.ts";
import { createCommandTable } from "../../src/commands/table.ts";
import { encodeCommand } from "../../src/engine/encode.ts";
import { wordOf } from "../../src/engine/traits.ts";
import type { Maybe } from "../../src/maybe.ts";
import { engineTranslators } from "../../src/commands/translators.ts";
import { OwnSettings } from "../../src/engine/own-settings.ts";
import { AccessEpoch } from "../../src/engine/user-rights.ts";
import { encodeWhole } from "../../src/resp/reply.ts";

/** A client that may do everything, unless said otherwise. */
export const callerOf = (fields: Partial<Caller> = {}): Caller => ({
  kind: "client",
  owner: {},
  user: "default",
  canWait: true,
  links: true,
  local: true,
  ...fields,
});

/** A way with these middlewares and no commands of ours. */
export function pathOf(...middlewares: readonly Middleware[]): Path {
  const path = new Path(createCommandTable([], { error: () => {} }));
  path.use(...middlewares);
  return path;
}

/** What the gateway is given of the rooms before it. @param embedded the engine is in this process */
export function wayOf(commands: CommandTable, embedded: boolean, maxClients = 10_000) {
  const settings = new OwnSettings({ protectedMode: false, maxClients }, embedded);
  const rights = new AccessEpoch();
  const path = new Path(commands);
  path.useTranslators(...engineTranslators({ settings, rights }));
  return { settings, rights, path };
}

export const viewOf = (args: readonly Buffer[]): RequestView => ({
  count: args.length,
  view: (at) => args[at] as Buffer,
  copy: (first) => args.slice(first),
});

/** Carries a command out, as the gateway does for a client. @param ask has the engine carry out a request */
export async function sendThrough(
  path: Path,
  args: readonly Buffer[],
  caller: Caller,
  ask: (request: Buffer) => Promise<Buffer>,
): Promise<Buffer> {
  const request = encodeCommand(args);
  const handling = path.find(wordOf(args[0]), viewOf(args), caller);
  return handling ? encodeWhole(await handling.run(caller, (other = request) => ask(other)), 2) : ask(request);
}

/** Carries a script's command out. @param ask has the engine carry out a request */
export async function runThrough(
  path: Path,
  args: readonly Buffer[],
  caller: Caller,
  ask: (request: Buffer) => Maybe<Buffer>,
): Promise<Buffer> {
  const decision = path.decide(args, caller);
  return decision ? encodeWhole(await decision.run(ask), 2) : ask(encodeCommand(args));
}
