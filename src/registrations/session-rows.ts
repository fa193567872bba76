/** Commands about sessions: docs/spec/commands.md, sections 10 and 11. */
import { arityError, ReplyError } from "../errors.ts";
import type { ExecutionRunner } from "../executions/execution-runner.ts";
import type { Requirements } from "../executions/requirements.ts";
import type { Session, SessionRegistry } from "../executions/session.ts";
import { inTurns } from "../in-turns.ts";
import type { RegistrationRegistry } from "./registration-registry.ts";
import { array, integer, nil, type Reply, status, text } from "../resp/reply.ts";
import type { CommandContext, CommandRow } from "../commands/command.ts";
import { listed } from "../commands/listed.ts";
import { describeRequirement } from "../executions/requirement-rows.ts";
import { describeRegistration, type GearsCompat } from "./registration-rows.ts";

interface SessionCommandsOptions {
  readonly runner: ExecutionRunner;
  readonly sessions: SessionRegistry;
  readonly registrations: RegistrationRegistry;
  readonly requirements: Requirements;
  readonly compat: GearsCompat;
}

const MANY = Number.POSITIVE_INFINITY;

/** The rows of this file. */
export function sessionCommands(options: SessionCommandsOptions): CommandRow[] {
  const common = { since: "1.2", group: "sessions", testedBy: "test/conformance/cases/sessions.json" } as const;
  return [
    {
      ...common,
      name: "rg.pydumpsessions",
      summary: "Lists the sessions that own registrations.",
      access: "read",
      minArgs: 0,
      maxArgs: MANY,
      syntax: "[VERBOSE] [DEAD] [SESSIONS id [id ...]]",
      run: (args, { looked }) => dumpSessions(args, looked, options),
    },
    {
      ...common,
      name: "rg.pyprofile",
      summary: "Shows or resets the profile of a session's callbacks (see ProfileExecutions).",
      access: "admin",
      minArgs: 1,
      maxArgs: MANY,
      syntax: "STATS session [order] | RESET session",
      run: (args) => profile(args, options),
    },
  ];
}

async function dumpSessions(
  args: readonly Buffer[],
  looked: CommandContext["looked"],
  options: SessionCommandsOptions,
): Promise<Reply> {
  const { sessions } = options;
  let verbose = false;
  let dead = false;
  /** Of an id that is none of a session it is told that it is none. */
  const describe = (one: Session | string): Reply | Promise<Reply> =>
    typeof one === "string" ? text(`Session ${one} does not exists`) : describeSession(one, verbose, options);
  for (let at = 0; at < args.length; at++) {
    const word = (args[at] as Buffer).toString("utf8");
    switch (word.toUpperCase()) {
      case "VERBOSE":
        verbose = true;
        break;
      case "DEAD":
        dead = true;
        break;
      case "SESSIONS":
        return listed(
          args.slice(at + 1).map((id) => sessions.find(id.toString("utf8")) ?? id.toString("utf8")),
          looked,
          describe,
        );
      default:
        throw new ReplyError(`Unknown option ${word}`);
    }
  }
  return listed(dead ? sessions.dead() : sessions.live(), looked, describe);
}

async function describeSession(session: Session, verbose: boolean, options: SessionCommandsOptions): Promise<Reply> {
  const { registrations, requirements, compat } = options;
  const describe = ({ id }: { readonly id: string }): Reply[] => {
    const registration = registrations.find(Buffer.from(id));
    if (!registration) return [];
    return [verbose ? describeRegistration(registration, { compat, sessions: undefined }) : text(id)];
  };
  const owned = (await inTurns([...session.registrations.values()], describe)).flat();
  return array([
    text("ID"),
    text(session.id),
    text("sessionDescription"),
    session.description === undefined ? nil() : text(session.description),
    text("refCount"),
    integer(session.refCount),
    text("linked"),
    text(session.dead ? "None" : "primary"),
    text("dead"),
    text(String(session.dead)),
    text("requirementInstallationNeeded"),
    integer(session.installationNeeded ? 1 : 0),
    text("requirements"),
    array(
      session.requirements.map((name) => (verbose ? describeRequirement(requirements.describe(name)) : text(name))),
    ),
    text("registrations"),
    array(owned),
  ]);
}

async function profile(args: readonly Buffer[], { runner, sessions }: SessionCommandsOptions): Promise<Reply> {
  const subcommand = args[0]?.toString("latin1").toUpperCase();
  if (subcommand !== "STATS" && subcommand !== "RESET") {
    throw new ReplyError("Wrong subcommand given to RG.PYPROFILE");
  }
  const most = subcommand === "STATS" ? 3 : 2;
  if (args.length < 2 || args.length > most) throw arityError("rg.pyprofile");
  const session = sessions.find((args[1] as Buffer).toString("utf8"));
  if (!session) throw new ReplyError("session does not exists");
  const number = runner.host.nextHandle();
  const order = args[2]?.toString("utf8") ?? "tottime";
  const question = ["profile", number, session.key, subcommand.toLowerCase(), order] as const;
  const answer = await runner.host.ask(session, number, question);
  return subcommand === "RESET" ? status("OK") : text(answer);
}
