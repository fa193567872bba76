/** Commands for tests: waiting until all is done, and moving the clock. */
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import type { EngineClient } from "../engine/engine-client.ts";
import { ReplyError } from "../errors.ts";
import { status } from "../resp/reply.ts";
import type { TestClock } from "../test-clock.ts";
import type { CommandRow } from "../commands/command.ts";
import { blockingRefusal } from "../commands/table.ts";
import type { Idle } from "./idle.ts";

interface IdleCommandsOptions {
  readonly idle: Idle;
  readonly connections: InternalConnections;
  /** Undefined without `test-clock`. */
  readonly clock: TestClock | undefined;
  /** Moves the engine's clock, where that is possible. @param ms milliseconds */
  readonly moveEngine: (ms: number) => void;
}

const OK = status("OK");
/** Longest that may be waited, or the clock be moved at once: a hundred years. */
const MOST_MS = 100 * 365 * 24 * 3600 * 1000;
/** Steps of the clock in one command. A time event of every second makes one for each of them. */
const MOST_STEPS = 100_000;
const SCANNED_AT_ONCE = "1000";

/** The rows of this file. */
export function idleCommands({ idle, connections, clock, moveEngine }: IdleCommandsOptions): CommandRow[] {
  const common = {
    since: "regears",
    group: "server",
    passesGate: true,
    refusedWhenNotBlocking: blockingRefusal,
    testedBy: "test/registrations/idle.test.ts",
  } as const;

  /** The timers that are due on the way fire one after the other, and what each begins is done before the clock goes on. */
  const fastForward = async (ms: number, limit: number, movable: TestClock, signal: AbortSignal): Promise<void> => {
    if (movable.isMoving) throw new ReplyError("ERR the clock is being moved already");
    const end = performance.now() + limit;
    let steps = 0;
    await movable.move(ms, moveEngine, async () => {
      if (++steps > MOST_STEPS) throw new ReplyError(`ERR timers fire more than ${MOST_STEPS} times on the way`);
      await withConnection(connections, expireKeys);
      const pending = await idle.wait(false, () => !signal.aborted && performance.now() < end);
      if (pending !== undefined && !signal.aborted)
        throw new ReplyError(`ERR the clock could not be moved on within ${limit} ms: ${pending}`);
      return !signal.aborted;
    });
  };

  return [
    {
      ...common,
      name: "rg.idle",
      summary:
        "Answers OK when no execution, event or call of a time event is pending; an error after so many milliseconds.",
      access: "read",
      minArgs: 0,
      maxArgs: 1,
      syntax: "[timeout]",
      run: async ([timeout], { signal }) => {
        const limit = limitOf(timeout);
        const end = performance.now() + limit;
        const pending = await idle.wait(true, () => !signal.aborted && performance.now() < end);
        if (pending !== undefined) throw new ReplyError(`ERR not idle within ${limit} ms: ${pending}`);
        return OK;
      },
    },
    {
      ...common,
      name: "rg.time",
      summary:
        "Moves the clock of time events, durations of streams and expiry of keys ahead, by milliseconds (see test-clock); an error when what is due on the way takes longer than the timeout.",
      access: "admin",
      minArgs: 2,
      maxArgs: 3,
      syntax: "FASTFORWARD ms [timeout]",
      run: async ([word, ms, timeout], { signal }) => {
        if (word?.toString("latin1").toUpperCase() !== "FASTFORWARD") throw new ReplyError("ERR syntax error");
        if (!clock)
          throw new ReplyError("ERR the clock can be moved only when the server was started with --test-clock");
        await fastForward(milliseconds(ms as Buffer), limitOf(timeout), clock, signal);
        return OK;
      },
    },
  ];
}

/** Milliseconds that may be waited. */
const limitOf = (timeout: Buffer | undefined): number =>
  timeout === undefined ? Number.POSITIVE_INFINITY : milliseconds(timeout);

function milliseconds(text: Buffer): number {
  const value = /^\d{1,15}$/.test(text.toString("latin1")) ? Number(text.toString("latin1")) : Number.NaN;
  if (!(value <= MOST_MS)) throw new ReplyError("ERR milliseconds are a number from 0 to a hundred years");
  return value;
}

/** Keys that are due go, and their events come, when somebody looks at them. */
async function expireKeys(client: EngineClient): Promise<void> {
  const keyspace = String(await client.call("INFO", "keyspace"));
  for (const [, database = "0"] of keyspace.matchAll(/^db(\d+):/gm)) {
    await client.call("SELECT", database);
    let cursor = "0";
    do {
      const reply = await client.call("SCAN", cursor, "COUNT", SCANNED_AT_ONCE);
      cursor = Array.isArray(reply) ? String(reply[0]) : "0";
    } while (cursor !== "0");
  }
}
