/**
 * The order of a connection's scripts: the body of each begins when that of the one before has ended and what it registered
 * is in force, or when that body has run for a long time. (In RedisGears all bodies run one after the other, in the order of
 * their commands.) Connections do not wait for each other.
 */

/** A script that is told when its turn has come. */
export interface InOrder {
  begin(): void;
}

/** The script whose turn it is, and those of the same connection that wait behind it. */
interface Line {
  present: InOrder;
  /** Backwards, and those that came meanwhile: taking one costs the same however many wait. */
  next: InOrder[];
  later: InOrder[];
}

export class ScriptOrder {
  readonly #lines = new Map<object, Line>();

  /** True when the connection's next script need not wait. */
  isFree(connection: object): boolean {
    return !this.#lines.has(connection);
  }

  /** Lets a script begin: within the call, or when all the connection's earlier ones have left. */
  join(connection: object, script: InOrder): void {
    const line = this.#lines.get(connection);
    if (line) {
      line.later.push(script);
      return;
    }
    this.#lines.set(connection, { present: script, next: [], later: [] });
    script.begin();
  }

  /** The script's body is over, or will never run. Further calls do nothing. */
  leave(connection: object, script: InOrder): void {
    const line = this.#lines.get(connection);
    if (line?.present !== script) {
      for (const waiting of line ? [line.next, line.later] : []) remove(waiting, script);
      return;
    }
    if (line.next.length === 0) [line.next, line.later] = [line.later.reverse(), line.next];
    const next = line.next.pop();
    if (!next) {
      this.#lines.delete(connection);
      return;
    }
    line.present = next;
    // not within the call: each of many that fail at once would be inside the one before
    queueMicrotask(() => {
      if (this.#lines.get(connection) === line && line.present === next) next.begin();
    });
  }
}

function remove(scripts: InOrder[], script: InOrder): void {
  const at = scripts.indexOf(script);
  if (at >= 0) scripts.splice(at, 1);
}
