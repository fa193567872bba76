/** Names of commands, found by their bytes: to make a string of each name costs as much as the rest of a small command. */

/** Longest name of a command. */
const LONGEST_NAME = 32;
/** A power of two, several times the number of commands that there are. */
const SLOTS = 2048;

interface Row {
  /** In lower case. */
  readonly name: Uint8Array;
  readonly arity: number;
}

export class CommandNames {
  readonly #slots: Row[][] = Array.from({ length: SLOTS }, () => []);

  /** @param commands by name in lower case: the arity of each */
  constructor(commands: ReadonlyMap<string, number>) {
    for (const [text, arity] of commands) {
      const name = Buffer.from(text, "latin1");
      this.#slots[slotOf(name, 0, name.length)]?.push({ name, arity });
    }
  }

  /** The arity of a command; 0 for an unknown one. */
  arityOf(bytes: Uint8Array, start: number, length: number): number {
    if (length > LONGEST_NAME) return 0;
    for (const { name, arity } of this.#slots[slotOf(bytes, start, length)] as Row[])
      if (name.length === length && isSame(name, bytes, start)) return arity;
    return 0;
  }
}

function slotOf(bytes: Uint8Array, start: number, length: number): number {
  let hash = length;
  for (let at = start; at < start + length; at++) hash = (hash * 31 + lower(bytes[at] as number)) | 0;
  return hash & (SLOTS - 1);
}

function isSame(name: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < name.length; i++) if (name[i] !== lower(bytes[start + i] as number)) return false;
  return true;
}

const lower = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
