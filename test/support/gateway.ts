/** A gateway for tests: a listener on a free port, in front of a given engine, with a few made-up commands of ours. */
import type { Access, CommandContext, CommandRow, CommandTable } from "../../src/commands/command.ts";
import { createCommandTable } from "../../src/commands/table.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { EngineGate } from "../../src/engine/engine-gate.ts";
import type { GatewayDeps } from "../../src/gateway/gateway-deps.ts";
import { Listener } from "../../src/gateway/listener.ts";
import { array, bulk, type Reply, status } from "../../src/resp/reply.ts";
import { wayOf } from "./path.ts";
import { connectPlain, type PlainClient } from "./plain-client.ts";

/** A log that remembers the texts of warnings and errors. */
export class QuietLog {
  readonly lines: string[] = [];
  trace = (): void => {};
  debug = (): void => {};
  info = (): void => {};
  warn = (_about: unknown, text?: string): void => void this.lines.push(String(text));
  error = (about: unknown, text?: string): void =>
    void this.lines.push(`${text}: ${String((about as { err?: unknown }).err ?? about)}`);
}

export function row(
  name: string,
  run: (args: readonly Buffer[], context: CommandContext) => Reply | Promise<Reply>,
  more: Partial<CommandRow> = {},
): CommandRow {
  const access: Access = "read";
  return {
    name,
    summary: `summary of ${name}`,
    since: "1.0.0",
    group: "server",
    access,
    minArgs: 0,
    maxArgs: Number.POSITIVE_INFINITY,
    syntax: "[argument ...]",
    testedBy: "test/gateway",
    run,
    ...more,
  };
}

/** `rg.echo` and `rg.args` answer at once, `rg.later` in a later turn, `rg.wait` when `release` is called or the client leaves. */
export class Gears {
  readonly waiting: { release: (reply: Reply) => void; context: CommandContext }[] = [];
  /** Clients that left while `rg.wait` waited. */
  aborted = 0;
  readonly calls: string[] = [];

  rows(): CommandRow[] {
    return [
      row("rg.echo", ([text], context) => this.#called("echo", context, bulk(text ?? Buffer.alloc(0)))),
      row("rg.args", (args) => array(args.map(bulk))),
      row("rg.later", async ([text], context) => {
        await new Promise((resolve) => setImmediate(resolve));
        return this.#called("later", context, bulk(text ?? Buffer.alloc(0)));
      }),
      row("rg.wait", (_args, context) => this.#wait(context)),
      row("rg.script", () => status("ran"), { access: "script" }),
      row("rg.admin", () => status("ran"), { access: "admin" }),
      row("rg.any", () => status("ran"), { access: "any" }),
      row("rg.onkey", () => status("ran"), { keys: [2, 2, 1] }),
    ];
  }

  #called(what: string, { caller }: CommandContext, reply: Reply): Reply {
    this.calls.push(`${what} ${caller.canWait ? "client" : "multi"}`);
    return reply;
  }

  #wait(context: CommandContext): Promise<Reply> {
    return new Promise((release) => {
      this.waiting.push({ release, context });
      context.signal.addEventListener("abort", () => {
        this.aborted++;
        release(status("too late"));
      });
    });
  }
}

export interface TestGateway {
  readonly listener: Listener;
  readonly gears: Gears;
  readonly gate: EngineGate;
  readonly log: QuietLog;
  readonly commands: CommandTable;
  connect(): Promise<PlainClient>;
  stop(): Promise<void>;
}

export async function startGateway(
  engine: Engine,
  more:
    | (Partial<GatewayDeps> & { readonly moreRows?: readonly CommandRow[] })
    | ((commands: CommandTable) => Partial<GatewayDeps>) = {},
): Promise<TestGateway> {
  const gears = new Gears();
  const log = new QuietLog();
  const gate = new EngineGate();
  const commands = createCommandTable(gears.rows(), log);
  const { moreRows = [], ...deps } = typeof more === "function" ? { ...more(commands), moreRows: [] } : more;
  commands.add(moreRows);
  const listener = new Listener(
    { port: 0 },
    { engine, commands, gate, log, ...wayOf(commands, engine.embedded), ...deps },
  );
  await listener.listen();
  const clients: PlainClient[] = [];
  return {
    listener,
    gears,
    gate,
    log,
    commands,
    async connect() {
      const client = await connectPlain(listener.port);
      clients.push(client);
      return client;
    },
    async stop() {
      for (const client of clients) client.destroy();
      await listener.close(500);
    },
  };
}
