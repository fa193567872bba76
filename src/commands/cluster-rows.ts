/** The cluster's commands, as a single node answers them. */
import { error, type Reply, status, text } from "../resp/reply.ts";
import type { Access, CommandRow } from "./command.ts";

/** Commands about the cluster. */
export function clusterCommands(): CommandRow[] {
  const row = (name: string, access: Access, summary: string, syntax: string, reply: Reply): CommandRow => ({
    name,
    summary,
    since: "1.0",
    group: "server",
    access,
    minArgs: 0,
    maxArgs: Number.POSITIVE_INFINITY,
    syntax,
    testedBy: "test/commands/table.test.ts",
    run: () => reply,
  });
  const ok = status("OK");
  const badTopology = error("Could not parse cluster set arguments");
  return [
    row("rg.infocluster", "read", "Describes the cluster: there is none.", "", text("no cluster mode")),
    row("rg.refreshcluster", "admin", "Reads the cluster's topology again.", "", ok),
    row("rg.clusterset", "admin", "Sets the cluster's topology; refused on a single node.", "[arg ...]", badTopology),
    row("rg.clustersetfromshard", "admin", "As RG.CLUSTERSET, from another node.", "[arg ...]", badTopology),
    row(
      "rg.hello",
      "any",
      "Greets another node of a cluster.",
      "[arg ...]",
      error("ERRCLUSTER NULL cluster state on hello msg"),
    ),
    row("rg.networktest", "admin", "Sends a test message to all other nodes.", "", ok),
  ];
}
