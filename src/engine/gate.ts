/**
 * Who may send commands to the engine. Normally everybody; while somebody holds the gate (an `atomic()` block, a `sync`
 * execution), only the holder: the others' commands wait here, in the order they came.
 */
export class EngineGate {
  readonly #settle: () => void;
  readonly #released: () => void;
  #holder: object | undefined;
  #depth = 0;
  readonly #waiting: { owner: object; go: () => void }[] = [];

  /**
   * @param settle lets the engine carry out what others have sent already, before somebody holds the gate
   * @param released nobody holds the gate any more: the engine may carry out what `settle` has left
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

  /** Calls `go` as soon as the gate is open for `owner`: at once, or when the holder released it. */
  whenOpen(owner: object, go: () => void): void {
    if (this.isOpenFor(owner)) go();
    else this.#waiting.push({ owner, go });
  }

  /** Holds the gate for `owner`, waiting for the present holder. The holder may hold again; each hold needs its release. */
  hold(owner: object): Promise<void> {
    return new Promise((resolve) => {
      const take = (): void => {
        if (!this.isOpenFor(owner)) {
          this.#waiting.push({ owner, go: take });
          return;
        }
        if (this.#depth++ === 0) {
          this.#holder = owner;
          this.#settle();
        }
        resolve();
      };
      take();
    });
  }

  /** Gives one hold back. With the last one those who wait go on, until one of them holds the gate again. */
  release(owner: object): void {
    if (this.#holder !== owner || --this.#depth > 0) return;
    this.#holder = undefined;
    this.#released();
    const waiting = this.#waiting.splice(0);
    for (const entry of waiting) this.whenOpen(entry.owner, entry.go);
  }
}
