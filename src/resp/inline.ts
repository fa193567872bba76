/** Inline commands: words divided by blanks, with Redis' quoting rules (`sdssplitargs` in src/sds.c). */

const NUL = 0;
const QUOTE = 34;
const APOSTROPHE = 39;
const BACKSLASH = 92;
/** What `\n`, `\r`, `\t`, `\b` and `\a` stand for, by the letter's code. */
const ESCAPES: ReadonlyMap<number, number> = new Map([
  [110, 10],
  [114, 13],
  [116, 9],
  [98, 8],
  [97, 7],
]);

/** `isspace` of C. */
const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);
/** What ends a word outside quotes; unlike `isSpace`, vertical tab and form feed do not. */
const endsWord = (byte: number): boolean => byte === 32 || byte === 9 || byte === 10 || byte === 13 || byte === NUL;

/**
 * Splits a line into its words.
 * @returns copies of the words, or undefined when quotes are unbalanced or a closing quote is followed by more than a blank
 */
export function splitInline(line: Buffer): Buffer[] | undefined {
  const nul = line.indexOf(NUL);
  const end = nul < 0 ? line.length : nul;
  const at = (index: number): number => (index < end ? (line[index] as number) : NUL);
  const words: Buffer[] = [];
  let position = 0;
  for (;;) {
    while (position < end && isSpace(at(position))) position++;
    if (position >= end) return words;
    const word: number[] = [];
    let quote = 0;
    for (; ; position++) {
      const byte = at(position);
      if (quote === 0) {
        if (position >= end || endsWord(byte)) break;
        if (byte === QUOTE || byte === APOSTROPHE) quote = byte;
        else word.push(byte);
      } else if (position >= end) {
        return undefined;
      } else if (byte === quote) {
        if (position + 1 < end && !isSpace(at(position + 1))) return undefined;
        position++;
        break;
      } else if (byte === BACKSLASH && quote === APOSTROPHE && at(position + 1) === APOSTROPHE) {
        word.push(APOSTROPHE);
        position++;
      } else if (byte === BACKSLASH && quote === QUOTE && position + 1 < end) {
        const hex = at(position + 1) === 120 ? hexByte(at(position + 2), at(position + 3)) : -1;
        word.push(hex >= 0 ? hex : (ESCAPES.get(at(position + 1)) ?? at(position + 1)));
        position += hex >= 0 ? 3 : 1;
      } else {
        word.push(byte);
      }
    }
    words.push(Buffer.from(word));
  }
}

function hexByte(high: number, low: number): number {
  const digits = String.fromCharCode(high, low);
  return /^[0-9a-fA-F]{2}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
}
