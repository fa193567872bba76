/** A server with a user who is up to no good, and somebody who is to notice nothing of it. */
import { afterAll, beforeAll } from "vitest";
import { Bystander } from "./bystander.ts";
import { type Client, connectClient } from "./client.ts";
import { type RunningRegears, startRegears } from "./regears.ts";

export let server: RunningRegears;
export let admin: Client;
export let bystander: Bystander;

/** How a script gets at what only the runtime should use. @param trigger what the registration is called that `spec` is about */
export const forging = (trigger: string): string => `
from regears import bridge, calls
from regears.context import CONTEXT
handle, key = CONTEXT.get().handle, CONTEXT.get().session.key
spec = {'reader': 'CommandReader', 'mode': 'async', 'desc': None, 'session': key, 'has_on_registered': False,
        'blob': b'', 'trigger': '${trigger}', 'hook': None, 'keyprefix': None, 'inorder': False}
nan = float('nan')
`;

/** Starts and stops it all for the tests of a file or group. */
export function setTheScene(): void {
  beforeAll(async () => {
    server = await startRegears(["--execution-threads", "2"]);
    admin = await connectClient(server.port);
    await admin.call("ACL", "SETUSER", "mallory", "on", ">pw", "+@all", "-@admin", "-@dangerous", "~a:*", "&a:*");
    bystander = await Bystander.settle(server.port);
  });
  afterAll(async () => {
    bystander?.close();
    admin?.close();
    await server?.stop();
  });
}

/** A connection of the user's. */
export async function connectMallory(): Promise<Client> {
  const client = await connectClient(server.port);
  await client.call("AUTH", "mallory", "pw");
  return client;
}
