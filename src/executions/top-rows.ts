/** RG.TOP: how far executions are. RedisGears has nothing like it, so the reply has names for everything. */
import type { CommandRow } from "../commands/command.ts";
import { ReplyError } from "../errors.ts";
import type { StackSample } from "../python/messages.ts";
import { array, bulk, integer, map, nil, type Reply, text } from "../resp/reply.ts";
import type { Execution } from "./execution.ts";
import { idOf } from "./ids.ts";
import type { ExecutionRunner } from "./execution-runner.ts";

interface TopOptions {
  readonly finished: boolean;
  readonly count: number;
  /** Ask interpreters where their code is. */
  readonly stacks: boolean;
  /** Tell the text of scripts, to their authors. */
  readonly source: boolean;
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
      maxArgs: 7,
      syntax: "[FINISHED] [NOSTACK] [SOURCE] [COUNT count] [ID id]",
      testedBy: "test/executions/top.test.ts",
      run: async (args, { caller }) => {
        const options = parseOptions(args);
        const stacks = options.stacks && caller.canWait;
        const describe = async (execution: Execution): Promise<Reply> =>
          describeProgress(execution, {
            runner,
            sample: stacks ? await sampleOf(execution, runner) : undefined,
            reader: options.source ? caller.user : undefined,
          });
        return array(await Promise.all(chosen(runner, options).map(describe)));
      },
    },
  ];
}

function parseOptions(args: readonly Buffer[]): TopOptions {
  const options = { finished: false, stacks: true, source: false, count: SHOWN, id: undefined as Buffer | undefined };
  for (let at = 0; at < args.length; at++) {
    const word = (args[at] as Buffer).toString("latin1").toUpperCase();
    const value = args[at + 1];
    if (word === "FINISHED") options.finished = true;
    else if (word === "NOSTACK") options.stacks = false;
    else if (word === "SOURCE") options.source = true;
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

/** Where the code of an execution is, if it is what its interpreter runs just now. */
async function sampleOf(execution: Execution, runner: ExecutionRunner): Promise<StackSample | undefined> {
  const job = runner.jobOf(execution);
  if (!job?.isStarted || job.place === "waiting") return undefined;
  const sample = await runner.host.sampleStack(job.session);
  if (sample?.job !== job.handle) return undefined;
  // the next time it may not tell
  if (sample.passed.length > 0) execution.countPassed(sample.passed);
  return sample;
}

interface Known {
  readonly runner: ExecutionRunner;
  /** Where its code is just now. */
  readonly sample: StackSample | undefined;
  /** Who wants to see the text of the script; undefined: nobody. */
  readonly reader: string | undefined;
}

function describeProgress(execution: Execution, { runner, sample, reader }: Known): Reply {
  const { session, startedAt, endedAt } = execution;
  const job = runner.jobOf(execution);
  const interpreter = job?.isStarted && session ? runner.host.interpreterOf(session) : undefined;
  const now = endedAt || Date.now();
  const { counts } = execution;
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
    ["records", integer(counts[0] ?? 0)],
    ["counts", array(counts.map(integer))],
    ["step", sample?.step ? integer(sample.step) : nil()],
    ["results", integer(execution.resultCount + (sample?.results ?? 0))],
    ["errors", integer(execution.errors.length)],
    ["interpreter", interpreter ? integer(interpreter.number) : nil()],
    ["memory_bytes", interpreter ? integer(interpreter.heapBytes) : nil()],
    ["stack", optional(sample?.stack)],
    // the text of a script is its author's
    ...(session?.source !== undefined && session.user === reader
      ? [["source", bulk(session.source)] satisfies [string, Reply]]
      : []),
  ];
  return map(pairs.map(([name, value]) => [text(name), value]));
}

const optional = (value: string | undefined): Reply => (value === undefined ? nil() : text(value));
