/**
 * What programs do with the client libraries they have, as cases that run on a real redis-server and on Regears alike. The
 * documents make a table of them (scripts/compatibility.ts), so nothing here may import the test runner.
 */
import type { EventEmitter } from "node:events";

/** redis-server itself; Regears with Valkey inside; Regears with that redis-server as its engine. */
export type ServerKind = "redis-server" | "embedded" | "by URL";

export interface Difference {
  readonly gives: unknown;
  /** Why, as a sentence for readers of docs/compatibility.md. */
  readonly because: string;
  /** Where: only with the embedded engine (it is Valkey, and not Redis 7.0), or always. */
  readonly on: "embedded" | "any engine";
}

export interface Setting<Client, Options> {
  readonly port: number;
  /** Another client; it is closed after the case. */
  connect(options?: Options): Promise<Client>;
}

export interface Case<Client, Options> {
  readonly name: string;
  run(setting: Setting<Client, Options>): Promise<unknown>;
  /** What `run` gives. */
  readonly gives: unknown;
  readonly differs?: Difference;
  /** A case about `RG.*`, which redis-server does not have. */
  readonly gears?: true;
}

/** One client library. */
export interface Suite<Client, Options> {
  /** The name of its npm package. */
  readonly client: string;
  open(port: number, options?: Options): Promise<Client>;
  close(client: Client): void;
  readonly cases: readonly Case<Client, Options>[];
}

/** What a case gives on a server of this kind. */
export function expectation(
  { gives, differs }: Pick<Case<never, never>, "gives" | "differs">,
  kind: ServerKind,
): unknown {
  if (differs === undefined || kind === "redis-server") return gives;
  return differs.on === "any engine" || kind === "embedded" ? differs.gives : gives;
}

/** What a command gives, or the text of its error. */
export const outcomeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error: Error) => error.message);

/** Waits for the next event of an emitter, with its arguments. */
export function next(emitter: Pick<EventEmitter, "once">, name: string): Promise<unknown[]> {
  return new Promise((resolve) => emitter.once(name, (...args: unknown[]) => resolve(args)));
}

/** A client that blocks is seen in CLIENT LIST by this flag. */
export const isBlocked = (list: unknown): boolean => /flags=\S*b/.test(String(list));

/** Error replies of commands about a cluster, on a server without one. */
export const NO_CLUSTER = "ERR This instance has cluster support disabled";

/** A server by URL shows to those who monitor also the PINGs by which Regears looks, now and then, whether it is there. */
export const OTHERS_PING = /"ping"$/i;

/** Every byte there is. */
export const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

export const UNLOCK =
  "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

export const LIBRARY = `#!lua name=counters
redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)
redis.register_function{function_name='peek', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}`;

/** Reasons of differences that several clients see. */
export const VALKEY_TEXT = "The text of this error is another one in Valkey.";
export const VALKEY_ALLOWS = "Valkey answers CLUSTER KEYSLOT and READONLY without a cluster.";
