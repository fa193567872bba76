/**
 * Reading a key that does not exist is an event of the engine, `keymiss`, also when it is the server that reads to make a
 * record. Such an event is nobody's. It comes before or after the reply that tells whether the key was there, so it is
 * expected beforehand and settled afterwards.
 */

interface Expected {
  /** Events that may still come. */
  left: number;
  /** Events that came and were taken for ours. */
  taken: number;
}

/** What a reader holds while it waits for its reply. */
interface MissToken {
  /** The reply is there. @param misses how many events the read has really caused */
  settle(misses: number): void;
}

const NONE: MissToken = { settle: () => {} };

export class OwnMisses {
  /** False while nobody listens to misses: then nothing is expected, for nothing will come. */
  listening = false;
  readonly #byKey = new Map<string, Expected[]>();
  readonly #mistaken: (key: Buffer) => void;

  /** @param mistaken an event was taken for ours and was not */
  constructor(mistaken: (key: Buffer) => void) {
    this.#mistaken = mistaken;
  }

  /** Nothing is expected. */
  get isIdle(): boolean {
    return this.#byKey.size === 0;
  }

  /** A key will be read. @param most how many misses that can cause */
  expect(key: Buffer, most: number): MissToken {
    if (!this.listening) return NONE;
    const name = key.toString("latin1");
    const expected: Expected = { left: most, taken: 0 };
    const list = this.#byKey.get(name);
    if (list) list.push(expected);
    else this.#byKey.set(name, [expected]);
    return {
      settle: (misses) => {
        const mistaken = expected.taken - misses;
        expected.left = Math.max(0, -mistaken);
        this.#tidy(name);
        for (let i = 0; i < mistaken; i++) this.#mistaken(key);
      },
    };
  }

  /** A miss was told. @returns true when it is ours */
  take(key: Buffer): boolean {
    if (this.#byKey.size === 0) return false;
    const name = key.toString("latin1");
    const expected = this.#byKey.get(name)?.find(({ left }) => left > 0);
    if (!expected) return false;
    expected.left--;
    expected.taken++;
    this.#tidy(name);
    return true;
  }

  /** Nothing that was expected will come any more. */
  clear(): void {
    this.#byKey.clear();
  }

  #tidy(name: string): void {
    const open = this.#byKey.get(name)?.filter(({ left }) => left > 0) ?? [];
    if (open.length === 0) this.#byKey.delete(name);
    else this.#byKey.set(name, open);
  }
}
