/** The command about connections of scripts. */
import type { CommandRow } from "../commands/command.ts";
import { array, integer, type Reply, text } from "../resp/reply.ts";
import type { Connections, ListedConnection } from "./connections.ts";

/** The rows of this file. */
export const connectionCommands = (connections: Pick<Connections, "list">): CommandRow[] => [
  {
    name: "rg.connections",
    summary: "Lists the connections that scripts have to other servers.",
    since: "regears",
    group: "server",
    access: "read",
    syntax: "",
    minArgs: 0,
    maxArgs: 0,
    passesGate: true,
    testedBy: "test/connections/connections.test.ts",
    run: () => array(connections.list().map(describe)),
  },
];

/** Times are milliseconds. */
function describe({ interpreter, session, user, connection }: ListedConnection): Reply {
  const { options, stage, isSecure, since, lastUse, figures } = connection;
  const now = performance.now();
  const fields: [string, Reply][] = [
    ["target", text(options.target)],
    ["address", text(options.address)],
    ["port", integer(options.port)],
    ["tls", text(isSecure ? "yes" : "no")],
    ["state", text(stage)],
    ["session", text(session)],
    ["user", text(user)],
    ["interpreter", integer(interpreter)],
    ["ageMS", integer(Math.round(now - since))],
    ["idleMS", integer(Math.round(now - lastUse))],
    ["received", integer(figures.received)],
    ["sent", integer(figures.sent)],
    ["unread", integer(figures.unread)],
    ["unsent", integer(figures.unsent)],
  ];
  return array(fields.flatMap(([name, value]) => [text(name), value]));
}
