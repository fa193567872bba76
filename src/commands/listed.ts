/** The reply of a command that lists many things. */
import { inTurns } from "../in-turns.ts";
import { array, nil, type Reply } from "../resp/reply.ts";
import type { CommandContext } from "./command.ts";

/**
 * A list with what is told of each thing; others have their turn meanwhile.
 * @param looked of a caller who looks at a part only: what is told of the others is nil, and costs nothing
 */
export async function listed<T>(
  all: readonly T[],
  looked: CommandContext["looked"],
  describe: (one: T) => Reply | Promise<Reply>,
): Promise<Reply> {
  if (!looked) return array(await inTurns(all, describe));
  const { from, most } = looked;
  const items = all.map(nil);
  items.splice(from, most, ...(await inTurns(all.slice(from, from + most), describe)));
  return array(items);
}
