/**
 * Replication is no command of a client: the engine's connection to a replica would have to be the client's, and the engine
 * in this process reaches nobody whose replica it could be; it would only stop taking writes.
 */

export const REPLICATION_REFUSED = "ERR replication is not available through this server";

/** Would this REPLICAOF or SLAVEOF make the engine a replica? @param args with the name */
export function makesReplica(args: readonly Buffer[]): boolean {
  const words = args.map((arg) => arg.toString("latin1").toLowerCase());
  return /^(?:replicaof|slaveof)$/.test(words[0] ?? "") && words.length === 3 && words.slice(1).join(" ") !== "no one";
}
