/** The connections of one interpreter, by the numbers that its code has given them, and what it may connect to by names. */
import type { Connection, Watcher } from "./connection.ts";
import { remember } from "../newest.ts";

/** A connection, and whose it is. */
export class Held {
  readonly number: number;
  readonly connection: Connection;
  /** The session whose code has opened it, by what Python calls it; null: code of none. */
  readonly session: string | null;
  /** How each thing that is waited for is given up. */
  readonly #ends = new Map<string, () => void>();

  constructor(number: number, connection: Connection, session: string | null) {
    this.number = number;
    this.connection = connection;
    this.session = session;
  }

  /** Waits for something. What was waited for under that name is given up. */
  await(what: string, events: number, onReady: Watcher["onReady"]): void {
    this.#ends.get(what)?.();
    this.#ends.set(what, this.connection.watch({ events, onReady }));
  }

  close(): void {
    for (const end of this.#ends.values()) end();
    this.connection.close();
  }
}

/** Addresses that names have had are remembered for so many milliseconds, and so many of them. */
const GRANT_MS = 300_000;
const GRANTS = 256;
/** Pairs of session and target of which is remembered that they were logged. */
const KNOWN = 4_096;
/** Names that are being resolved at a time. */
const RESOLVING = 16;

export class InterpreterConnections {
  readonly held = new Map<number, Held>();
  /** Numbers of those whose names are being resolved, or whose user is being asked about. */
  readonly opening = new Set<number>();
  resolving = 0;
  readonly #grants = new Map<string, { readonly name: string; readonly until: number }>();
  readonly #known = new Set<string>();

  get count(): number {
    return this.held.size + this.opening.size;
  }

  get resolvesMost(): boolean {
    return this.resolving >= RESOLVING;
  }

  /** A name that may be resolved has this address: its code will connect to that. */
  grant(address: string, name: string): void {
    remember(this.#grants, address, { name, until: performance.now() + GRANT_MS }, GRANTS);
  }

  /** The name that was resolved to this address last; undefined: none was. */
  nameOf(address: string): string | undefined {
    const grant = this.#grants.get(address);
    return grant && grant.until > performance.now() ? grant.name : undefined;
  }

  /** Is it the first time that this session connects there? */
  isFirst(session: string | null, target: string): boolean {
    const key = `${session} ${target}`;
    if (this.#known.has(key)) return false;
    if (this.#known.size >= KNOWN) this.#known.clear();
    this.#known.add(key);
    return true;
  }
}
