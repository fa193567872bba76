/** SAVE and BGSAVE of the embedded engine without a folder for snapshots: the engine fails, and can not say why. */
import { after, type Middleware } from "../commands/path.ts";
import type { InternalConnections } from "../engine/internal.ts";
import { error } from "../resp/reply.ts";

const CAN_NOT_SAVE = "-ERR\r\n";
const SCHEDULED = "+Background saving scheduled";
const REASON = error(
  "ERR there is no folder to save to: data are kept in memory only, unless the server is started with --dir",
);

export function refusesToSave(connections: Pick<InternalConnections, "open">): Middleware {
  return {
    of: ["client"],
    active: false,
    always: ["save", "bgsave"],
    handle: () =>
      after(async (reply) => {
        const text = reply.toString("latin1");
        if (text === CAN_NOT_SAVE) return REASON;
        if (!text.startsWith(SCHEDULED)) return undefined;
        // In a transaction the engine plans it for later, and would try again and again.
        const client = connections.open();
        await client.call("BGSAVE", "CANCEL").catch(() => {});
        client.close();
        return REASON;
      }),
  };
}
