/** SAVE and BGSAVE of the embedded engine, which answers only that it could not: here it is said why. */
import { after, type Middleware } from "../commands/path.ts";
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import { error } from "../resp/reply.ts";
import { reasonOf } from "./disk.ts";

const CAN_NOT_SAVE = "-ERR\r\n";
const SCHEDULED = "+Background saving scheduled";
const NO_FOLDER =
  "ERR there is no folder to save to: data are kept in memory only, unless the server is started with --dir";

/** @param failure what went wrong last with the engine's files */
export function explainsFailures(failure: () => unknown): Middleware {
  return {
    of: ["client", "python"],
    active: false,
    always: ["save", "bgsave"],
    handle: () =>
      after((reply) => {
        if (reply.toString("latin1") !== CAN_NOT_SAVE) return undefined;
        const reason = failure();
        return reason === undefined ? undefined : error(`ERR the data can not be saved: ${reasonOf(reason)}`);
      }),
  };
}

export function refusesToSave(connections: Pick<InternalConnections, "open">): Middleware {
  return {
    of: ["client"],
    active: false,
    always: ["save", "bgsave"],
    handle: () =>
      after(async (reply) => {
        const text = reply.toString("latin1");
        if (text === CAN_NOT_SAVE) return error(NO_FOLDER);
        if (!text.startsWith(SCHEDULED)) return undefined;
        // In a transaction the engine plans it for later, and would try again and again.
        await withConnection(connections, (client) => client.call("BGSAVE", "CANCEL").catch(() => {}));
        return error(NO_FOLDER);
      }),
  };
}
