/** RG.TOP: how far executions are. RedisGears has nothing like it, so the reply has names for everything. */
import type { CommandRow } from "../commands/command.ts";
import { ReplyError } from "../errors.ts";
import { array, integer, map, nil, type Reply, text } from "../resp/reply.ts";
import type { Execution } from "./execution.ts";
import { idOf } from "./ids.ts";
import type { ExecutionRunner } from "./execution-runner.ts";

interface TopOptions {
  readonly finished: boolean;
  readonly count: number;
  /** Only this one. */
  readonly id: Buffer | undefined;
}

/** Executions that are shown unless COUNT says otherwise, and at most. */
const SHOWN = 100;
const MOST = 10_000;

/** The rows of this file. */
export function topCommands({ runner }: { readonly runner: ExecutionRunner }): CommandRow[] {
  return [
    {
      name: "rg.top",
      summary:
        "Shows how far executions are: those in progress, longest running first; with FINISHED the last ones that have ended, too.",
      since: "regears",
      group: "executions",
      access: "read",
      passesGate: true,
      minArgs: 0,
      maxArgs: 5,
      syntax: "[FINISHED] [COUNT count] [ID id]",
      testedBy: "test/executions/top.test.ts",
      run: (args) => {
        const options = parseOptions(args);
        return array(chosen(runner, options).map((execution) => describeProgress(execution, runner)));
      },
    },
  ];
}

function parseOptions(args: readonly Buffer[]): TopOptions {
  const options = { finished: false, count: SHOWN, id: undefined as Buffer | undefined };
  for (let at = 0; at < args.length; at++) {
    const word = (args[at] as Buffer).toString("latin1").toUpperCase();
    const value = args[at + 1];
    if (word === "FINISHED") options.finished = true;
    else if (word === "COUNT" && value) {
      options.count = Number(value.toString("latin1"));
      if (!Number.isInteger(options.count) || options.count < 1 || options.count > MOST)
        throw new ReplyError(`ERR COUNT is a number from 1 to ${MOST}`);
      at++;
    } else if (word === "ID" && value) {
      options.id = value;
      at++;
    } else throw new ReplyError("ERR syntax error");
  }
  return options;
}

function chosen({ registry, pending }: ExecutionRunner, { id, finished, count }: TopOptions): Execution[] {
  if (id) {
    const found = registry.find(id);
    if (!found) throw new ReplyError("execution plan does not exist");
    return [found];
  }
  const running = pending.sort((a, b) => begun(a) - begun(b)).slice(0, count);
  return finished ? [...running, ...registry.lastFinished(count - running.length)] : running;
}

/** What has not begun comes after all that has. */
const begun = ({ startedAt }: Execution): number => startedAt || Number.MAX_SAFE_INTEGER;

function describeProgress(execution: Execution, runner: ExecutionRunner): Reply {
  const { session, startedAt, endedAt } = execution;
  const job = runner.jobOf(execution);
  const interpreter = job?.isStarted && session ? runner.host.interpreterOf(session) : undefined;
  const now = endedAt || Date.now();
  const pairs: [string, Reply][] = [
    ["executionId", text(execution.id)],
    ["status", text(execution.status)],
    ["place", text(execution.isFinished ? "ended" : (job?.place ?? "queued"))],
    ["session", optional(session?.id)],
    ["description", optional(session?.description)],
    ["user", optional(session?.user)],
    ["registration", optional(execution.registration === undefined ? undefined : idOf(execution.registration))],
    ["created", integer(execution.createdAt)],
    ["queued_ms", integer((startedAt || now) - execution.createdAt)],
    ["elapsed_ms", integer(startedAt ? now - startedAt : 0)],
    ["reader", text(execution.reader)],
    ["steps", array(execution.kinds.map(text))],
    ["results", integer(execution.resultCount)],
    ["errors", integer(execution.errors.length)],
    ["interpreter", interpreter ? integer(interpreter.number) : nil()],
    ["memory_bytes", interpreter ? integer(interpreter.heapBytes) : nil()],
  ];
  return map(pairs.map(([name, value]) => [text(name), value]));
}

const optional = (value: string | undefined): Reply => (value === undefined ? nil() : text(value));
