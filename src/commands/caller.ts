/** Whoever has a command run: a client itself, its Lua script, or Python code. */
export interface Caller {
  readonly kind: "client" | "lua" | "python";
  /** In whose name the engine's gate is held: the client, or the execution whose `execute()` this is. */
  readonly owner: object;
  /** The engine's user on whose behalf the command runs. */
  readonly user: string;
  /** The caller can wait for others: a client can, unless the command is one of a transaction. */
  readonly canWait: boolean;
  /** Registrations that name the command in `commands` run for it. They do not where a hook passes the command on. */
  readonly links: boolean;
  /** The caller is on this machine, as scripts are. */
  readonly local: boolean;
}
