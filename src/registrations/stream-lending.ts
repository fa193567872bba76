/**
 * Streams that interpreters read by themselves for a while, see `stream-row.ts`: only where that makes no difference to
 * anybody, since what they have read and acknowledged is known here a moment later.
 */
import { ROW_LIMITS } from "../python/stream-row.ts";
import type { StreamSource } from "./event-source.ts";
import type { Registration } from "./registration.ts";
import type { StreamState } from "./stream-state.ts";

/** Does a registration begin batches? */
export const isReading = ({ registration }: { readonly registration: Registration }): boolean =>
  registration.active && registration.status === "OK";

/**
 * What there is to know of a batch for that.
 * @param reader identifies the registration
 * @param count messages that the batch is to have
 * @param ids of those that were read
 */
export function lendable(
  reader: { readonly registration: Registration },
  state: StreamState,
  count: number,
  ids: () => readonly string[],
): Pick<StreamSource, "batch" | "ids" | "waiting" | "lent"> {
  const { group } = state;
  const { batch, trimStream, onFailedPolicy } = reader.registration.spec;
  const mayBeLent = (begins: boolean): boolean => {
    // with other policies it is known only here, by the limits of executions, whether a batch is to be acknowledged
    if (onFailedPolicy !== "continue" || group.key.length > ROW_LIMITS.key || count > ROW_LIMITS.messages) return false;
    const read = ids().length;
    return isReading(reader) && group.mayBeLent(read) && (!begins || read === count);
  };
  return {
    batch: (begins) => (mayBeLent(begins) ? { key: group.key, count, trim: trimStream } : undefined),
    ids,
    // batches that are not full wait for their time, or for more
    waiting: () => (count === batch ? Math.floor(state.waiting / count) : 0),
    lent: (isLent) => {
      if (isLent) group.lend(reader);
      else group.takeBack();
    },
  };
}
