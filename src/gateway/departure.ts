/** Tells the handler of a command that the client has gone. A signal is made only for those who ask. */
export class Departure {
  #controller: AbortController | undefined;
  #gone: boolean;

  /** @param gone it has gone already */
  constructor(gone: boolean) {
    this.#gone = gone;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#gone) this.#controller.abort();
    return this.#controller.signal;
  }

  happen(): void {
    this.#gone = true;
    this.#controller?.abort();
  }
}
