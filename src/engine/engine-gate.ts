/** Who holds the engine, for people who wonder why nothing else is served. */
interface EngineHolder {
  /** Such as `execution 0000000000000000000000000000000000000000-5`. */
  readonly name: string;
  /** Milliseconds since it began. */
  readonly heldMs: number;
}

/**
 * Who may send commands to the engine. Normally everybody; while somebody holds the gate (an `atomic()` block, a `sync`
 * execution), only the holder: the others' commands wait here, in the order they came.
 */
export class EngineGate {
  readonly #settle: () => void;
  readonly #released: () => void;
  #holder: object | undefined;
  /** What each hold is for, as told by its holder. */
  readonly #holds: (() => string)[] = [];
  #since = 0;
  readonly #waiting: { owner: object; go: () => void }[] = [];

  /**
   * @param settle lets the engine carry out what others have sent already, before somebody holds the gate
   * @param released is called when nobody holds the gate any more: the engine may carry out what `settle` has left
   */
  constructor(settle: () => void = () => {}, released: () => void = () => {}) {
    this.#settle = settle;
    this.#released = released;
  }

  /** May `owner` send a command now? */
  isOpenFor(owner: object): boolean {
    return this.#holder === undefined || this.#holder === owner;
  }

  /** True while anybody holds the gate. */
  get held(): boolean {
    return this.#holder !== undefined;
  }

  /** Who holds the gate now, in the words of the innermost hold; undefined when the gate is open to all. */
  get holder(): EngineHolder | undefined {
    const name = this.#holds.at(-1)?.();
    return name === undefined ? undefined : { name, heldMs: performance.now() - this.#since };
  }

  /** Calls `go` as soon as the gate is open for `owner`: at once, or when the holder released it. */
  whenOpen(owner: object, go: () => void): void {
    if (this.isOpenFor(owner)) go();
    else this.#waiting.push({ owner, go });
  }

  /**
   * Holds the gate for `owner`, waiting for the present holder. The holder may hold again; each hold needs its release.
   * @param name says who that is, when somebody asks
   */
  hold(owner: object, name: () => string = () => "the server"): Promise<void> {
    return new Promise((resolve) => {
      const take = (): void => {
        if (this.holdNow(owner, name)) resolve();
        else this.#waiting.push({ owner, go: take });
      };
      take();
    });
  }

  /** Holds the gate if nobody else does. @returns whether it is held */
  holdNow(owner: object, name: () => string): boolean {
    if (!this.isOpenFor(owner)) return false;
    if (this.#holds.push(name) === 1) {
      this.#holder = owner;
      this.#since = performance.now();
      this.#settle();
    }
    return true;
  }

  /** Gives one hold back. With the last one those who wait go on, until one of them holds the gate again. */
  release(owner: object): void {
    if (this.#holder !== owner) return;
    this.#holds.pop();
    if (this.#holds.length > 0) return;
    this.#holder = undefined;
    this.#released();
    const waiting = this.#waiting.splice(0);
    for (const entry of waiting) this.whenOpen(entry.owner, entry.go);
  }
}
