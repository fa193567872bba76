/** The commands of the page: those of Regears, carried out for the user who is logged in as for any client of that user. */
import type { CommandContext, CommandTable } from "../commands/command.ts";
import type { Path } from "../commands/path.ts";
import { EngineClient, encodeCommand } from "../engine/engine-client.ts";
import type { Engine } from "../engine/engine.ts";
import type { EngineGate } from "../engine/engine-gate.ts";
import { isError, scalarText } from "../resp/frames.ts";
import { error, type Reply } from "../resp/reply.ts";
import type { Login } from "./logins.ts";

export interface ConsoleCommandsOptions {
  readonly engine: Pick<Engine, "connect">;
  readonly table: CommandTable;
  readonly path: Pick<Path, "refusal">;
  readonly gate: Pick<EngineGate, "whenOpen">;
}

/** What is known of a command besides its words. */
interface ConsoleCall extends Pick<CommandContext, "looked"> {
  /** Fires when nobody waits for the reply any more. */
  readonly gone: AbortSignal;
  readonly local: boolean;
}

/** Commands of one login at a time. */
const MOST_RUNNING = 32;

export class ConsoleCommands {
  readonly #options: ConsoleCommandsOptions;

  constructor(options: ConsoleCommandsOptions) {
    this.#options = options;
  }

  /** Is the password right? @returns undefined, or the text of the engine's error */
  async authenticate(user: string, password: string): Promise<string | undefined> {
    const client = new EngineClient(this.#options.engine.connect());
    try {
      const reply = await client.rawCall(encodeCommand(["AUTH", user, password]), 1);
      return isError(reply) ? scalarText(reply) : undefined;
    } finally {
      client.close();
    }
  }

  /** May the user run this command? @returns undefined, or the text of the error */
  async refusal(user: string, args: readonly Buffer[]): Promise<string | undefined> {
    return this.#options.path.refusal({ kind: "client", user }, args);
  }

  /**
   * Carries a command out.
   * @param args the command's name first
   */
  async run(login: Login, args: readonly Buffer[], { gone, local, looked }: ConsoleCall): Promise<Reply> {
    const [typed = Buffer.alloc(0), ...rest] = args;
    const typedName = typed.toString("utf8");
    const { table, gate } = this.#options;
    const row = table.find(typedName);
    if (!row) return error(`ERR unknown command '${typedName}': the console runs the commands of Regears`);
    if (login.running >= MOST_RUNNING) return error("ERR too many commands of the console run already");
    login.running++;
    try {
      const refused = await this.refusal(login.user, args);
      if (refused !== undefined) return error(refused);
      // each as if it came on a connection of its own: they do not wait for each other
      const owner = {};
      if (!row.passesGate) await new Promise<void>((go) => gate.whenOpen(owner, go));
      const caller = { kind: "client", user: login.user, owner, canWait: true, links: false, local } as const;
      return await table.run(row, rest, { caller, signal: gone, clientId: 0, typedName, observed: true, looked });
    } finally {
      login.running--;
    }
  }
}
