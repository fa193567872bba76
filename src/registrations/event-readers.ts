/** KeysReader and StreamReader registrations with all that they need, put together. */
import { encodeCommand } from "../engine/engine-client.ts";
import type { EngineCommands } from "../engine/engine-commands.ts";
import type { UserRights } from "../engine/user-rights.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../timer.ts";
import type { Handlers, PythonHost } from "../python/python-host.ts";
import { linkedCommandHandlers } from "./linked-command.ts";
import { type Connections, EngineCalls } from "./engine-calls.ts";
import { EventMiddleware } from "./event-middleware.ts";
import type { EventStarter, Holdable } from "./event-starter.ts";
import { KeyRecords } from "./key-records.ts";
import { KeysRegistrations } from "./keys-registrations.ts";
import { EventChunks } from "./event-chunks.ts";
import { KeyEvents } from "./key-events.ts";
import { StreamRegistrations } from "./stream-registrations.ts";
import { SyncEvents } from "./sync-events.ts";

interface EventReadersOptions {
  readonly connections: Connections;
  /** The engine is in this process: it answers within the call, and tells events before replies. */
  readonly embedded: boolean;
  readonly gate: Holdable;
  readonly starter: EventStarter;
  readonly engineCommands: EngineCommands;
  /** What the users may do who registered; undefined: everything. */
  readonly rights?: Pick<UserRights, "isFree" | "refusal" | "mayRead">;
  readonly log: Pick<Logger, "warn" | "error">;
  readonly clock?: Clock;
  /** May an interpreter of this host carry out a command of so many words, its name included? Undefined: none of them. */
  readonly host?: Pick<PythonHost, "carryOut">;
  readonly takes?: (name: string, words: number) => boolean;
  /** Events that may wait before writers have to; 1 000 000 unless given. */
  readonly maxBacklog?: number;
}

export interface EventReaders {
  readonly keys: KeysRegistrations;
  readonly streams: StreamRegistrations;
  readonly events: KeyEvents;
  readonly middleware: EventMiddleware;
  readonly sync: SyncEvents;
  /** Resolves when all that the engine was asked so far is answered, and the events of all that it has answered have come. */
  settled(): Promise<void>;
  /** Python's `get_command` and `override_reply`. */
  readonly handlers: Pick<Handlers, "get_command" | "override_reply">;
  /** Gives the engine the users' settings back and ends connections and timers. */
  close(): void;
}

export function createEventReaders(options: EventReadersOptions): EventReaders {
  const { connections, embedded, gate, starter, engineCommands, rights, log, clock, maxBacklog, host, takes } = options;
  const calls = new EngineCalls(connections, embedded);
  const events = new KeyEvents({ connections, calls, gate, log });
  const sync = new SyncEvents({
    gate,
    log,
    running: () => starter.running,
    barrier: () => events.barrier()?.then(() => keys.whenFlowing()),
  });
  // the streams come first: of an XADD they hear before the KeysReader registrations do
  const streams = new StreamRegistrations({
    ...{ events, calls, starter, sync },
    ...(clock ? { clock } : {}),
    ...(rights ? { rights } : {}),
  });
  const reader = new KeyRecords(calls, events.misses);
  const keys = new KeysRegistrations({
    ...{ events, reader, starter, sync, engineCommands },
    ...(rights ? { rights } : {}),
  });
  events.onGap = () => keys.countGap();
  // messages of streams are still there
  events.onGapEnd = () => streams.rescan();
  const middleware = new EventMiddleware({
    ...{ keys, streams, sync, events, starter, gate, engineCommands },
    ...(takes && host && { takes, chunks: new EventChunks({ host, events, keys, sync, starter, gate }) }),
    ...(maxBacklog === undefined ? {} : { maxBacklog }),
  });
  return {
    ...{ keys, streams, events, middleware, sync },
    settled: async () => {
      await events.barrier();
      await calls.ask(encodeCommand(["ECHO", ""]));
    },
    handlers: linkedCommandHandlers,
    close: () => {
      streams.close();
      events.close();
      calls.close();
    },
  };
}
