/** What a command is: one row, from which dispatch, arity, COMMAND INFO, the compatibility table and the docs derive. */
import type { Maybe } from "../maybe.ts";
import type { Reply } from "../resp/reply.ts";
import type { Caller } from "./caller.ts";

/** Who may run a command, in the terms of Redis' ACL: the same right as EVAL, `@admin`, `@read`, or any authenticated user. */
export type Access = "script" | "admin" | "read" | "any";

/** What a handler may know of the call. */
export interface CommandContext {
  readonly caller: Caller;
  /** Fires when the caller has gone; what waits for it may be freed. */
  readonly signal: AbortSignal;
  /** The client's connection number; 0 for calls made by scripts. */
  readonly clientId: number;
  /** The command's name as the caller typed it. */
  readonly typedName: string;
  /** The caller wants to see how far it is, also if that takes time: records are counted at each step. */
  readonly observed?: boolean;
  /** Which elements of a long list the caller looks at; undefined: all. The others may be nil. */
  readonly looked?: { readonly from: number; readonly most: number } | undefined;
  /** Is told how long it ran, by commands that may be slow: what waits for its turn does not run. */
  readonly ran?: (ms: number) => void;
}

/** Carries out several calls of one client who can wait, where that is less work than one after the other. */
export interface CallsTogether {
  /** So many calls may be worth while, of so many bytes at most; 0: none now. */
  readonly most: number;
  readonly mostBytes: number;
  /**
   * @param all the arguments of each, of which there are enough and not too many
   * @param onReply is given one reply after the other, and how long the call ran, in milliseconds
   * @returns for how many of them replies were given
   */
  run(all: readonly (readonly Buffer[])[], onReply: (reply: Reply, ms: number) => void): Maybe<number>;
}

export interface CommandRow {
  /** Lower case, as in error texts: `rg.pyexecute`. */
  readonly name: string;
  readonly summary: string;
  /** The RedisGears version that brought it, or `regears` for our own. */
  readonly since: string;
  readonly group: "executions" | "registrations" | "sessions" | "requirements" | "configuration" | "server";
  readonly access: Access;
  /** Number of arguments without the name; a violation is the standard arity error. */
  readonly minArgs: number;
  readonly maxArgs: number;
  /** For the docs and COMMAND DOCS: `script [UNBLOCKING] …`. */
  readonly syntax: string;
  /** What MULTI and Lua get instead of the command, if it needs a client that can wait. */
  readonly refusedWhenNotBlocking?: (caller: Caller) => string;
  /** MULTI and Lua get that refusal whatever the command's arguments are. */
  readonly refusesFirst?: true;
  /** Served even while somebody holds the engine: what shows and ends executions, and needs no data. */
  readonly passesGate?: true;
  /** First, last, step of keys for COMMAND INFO; default 0,0,0. */
  readonly keys?: readonly [number, number, number];
  /** The command takes keys only in some of its forms. */
  readonly movableKeys?: true;
  /** The test file that covers it, for the generated table. */
  readonly testedBy: string;
  readonly run: (args: readonly Buffer[], context: CommandContext) => Maybe<Reply>;
  readonly together?: CallsTogether;
}

/** The one list of commands, by lower-case name. */
export interface CommandTable {
  readonly rows: readonly CommandRow[];
  /** Adds rows. @throws Error when two rows have one name, or a name is not lower case: both are mistakes of ours */
  add(rows: readonly CommandRow[]): void;
  find(name: string): CommandRow | undefined;
  /**
   * Checks (arity, refusal) and runs a row. Never throws: a ReplyError becomes its text, anything else is logged
   * and answered `ERR internal error`.
   */
  run(row: CommandRow, args: readonly Buffer[], context: CommandContext): Maybe<Reply>;
}
