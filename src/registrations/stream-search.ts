/** The streams that are there already when a registration begins to read. */
import { encodeCommand } from "../engine/engine-client.ts";
import { andThen } from "../maybe.ts";
import type { EngineCalls } from "./engine-calls.ts";

const SCAN_COUNT = "1000";
const GLOB = /[*?[\\]/;

/**
 * Finds the streams of a registration, in the background.
 * @param prefix is taken as a glob pattern
 * @param goesOn false: nobody wants to know any more
 * @param found gets a view of the reply's bytes
 */
export function findStreams(
  calls: Pick<EngineCalls, "ask">,
  prefix: Buffer,
  goesOn: () => boolean,
  found: (key: Buffer) => void,
): void {
  if (prefix.length === 0) return;
  if (!GLOB.test(prefix.toString("latin1"))) {
    void andThen(calls.ask(encodeCommand(["OBJECT", "ENCODING", prefix])), (encoding) => {
      if (encoding && !encoding.isError && encoding.bulk()?.toString("latin1") === "stream") found(prefix);
    });
    return;
  }
  const step = (cursor: Buffer | string): void => {
    if (!goesOn()) return;
    const command = ["SCAN", cursor, "MATCH", prefix, "COUNT", SCAN_COUNT, "TYPE", "stream"];
    void andThen(calls.ask(encodeCommand(command)), (reply) => {
      if (!reply || reply.isError || !goesOn()) return;
      reply.arrayLength();
      const next = Buffer.from(reply.bulk() ?? "0");
      for (let left = reply.arrayLength(); left > 0; left--) found(reply.bulk() ?? prefix);
      // others get their turn in between
      if (next.toString("latin1") !== "0") setImmediate(() => step(next));
    });
  };
  step("0");
}
