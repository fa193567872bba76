/**
 * Commands of replication (SYNC, PSYNC, REPLCONF, REPLICAOF) are refused. A replica would need the engine's replies on its
 * own connection without anything in between, which the gateway can not give. And the engine in this process has no network
 * by which it could reach a master: as a replica it would only stop taking writes.
 */

export const REPLICATION_REFUSED = "ERR replication is not available through this server";

/** Would this command make the engine a replica? @param name in lower case @param args with the name */
export function makesReplica(name: string, args: readonly Buffer[]): boolean {
  if ((name !== "replicaof" && name !== "slaveof") || args.length !== 3) return false;
  return `${args[1]} ${args[2]}`.toLowerCase() !== "no one";
}
