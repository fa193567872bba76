/**
 * Finds where RESP2 replies end, without decoding them. Works on chunks cut anywhere and looks at each byte of a
 * header once; the bodies of bulk strings are skipped.
 */
const LF = 10;
const MINUS = 45;
const ZERO = 48;
const DOLLAR = 36;
const STAR = 42;

export class ReplyEnds {
  /** Values that the present reply still needs: an array stands for its elements. */
  #missing = 1;
  /** Bytes of a bulk string's body, with its line end, that are still to come. */
  #skip = 0;
  /** First byte of the header that is being read; 0 between two values. */
  #type = 0;
  #number = 0;
  #negative = false;

  /**
   * Goes on from `start`.
   * @returns the offset just behind the reply's last byte, or -1 when the chunk ends before that
   */
  next(chunk: Uint8Array, start: number): number {
    let at = start;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const take = Math.min(this.#skip, chunk.length - at);
        this.#skip -= take;
        at += take;
        if (this.#skip > 0) return -1;
        if (this.#complete()) return at;
      } else if (this.#type === 0) {
        this.#type = chunk[at++] ?? 0;
        this.#number = 0;
        this.#negative = false;
      } else if (this.#type === DOLLAR || this.#type === STAR) {
        const byte = chunk[at++] ?? 0;
        if (byte === LF) {
          if (this.#endOfLength()) return at;
        } else if (byte === MINUS) this.#negative = true;
        else if (byte >= ZERO) this.#number = this.#number * 10 + byte - ZERO;
      } else {
        const end = chunk.indexOf(LF, at);
        if (end < 0) return -1;
        at = end + 1;
        if (this.#complete()) return at;
      }
    }
    return -1;
  }

  #endOfLength(): boolean {
    if (this.#type === STAR) {
      if (!this.#negative) this.#missing += this.#number;
      return this.#complete();
    }
    if (this.#negative) return this.#complete();
    this.#skip = this.#number + 2;
    this.#type = 0;
    return false;
  }

  #complete(): boolean {
    this.#type = 0;
    this.#missing--;
    if (this.#missing > 0) return false;
    this.#missing = 1;
    return true;
  }
}
