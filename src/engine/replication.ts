/**
 * Replication is no command of a client: the engine's connection to a replica would have to be the client's, and the engine
 * in this process reaches nobody whose replica it could be; it would only stop taking writes.
 */

export const REPLICATION_REFUSED = "ERR replication is not available through this server";

/** Would this command make the engine a replica? @param name in lower case @param args with the name */
export function makesReplica(name: string, args: readonly Buffer[]): boolean {
  if ((name !== "replicaof" && name !== "slaveof") || args.length !== 3) return false;
  return `${args[1]} ${args[2]}`.toLowerCase() !== "no one";
}
