/** Undoes the compression of LibLZF, in which dumps have their longer strings. */

/** A number below is how many bytes follow as they are, less one; others are a length and how far back to copy from. */
const LITERALS = 32;
const LONG = 7;

/** @param length of what comes out. @throws Error when it is not what was compressed */
export function decompress(input: Uint8Array, length: number): Buffer {
  const output = Buffer.alloc(length);
  let at = 0;
  let done = 0;
  const next = (): number => {
    const byte = input[at++];
    if (byte === undefined) throw new Error("a compressed string ends too early");
    return byte;
  };
  while (at < input.length) {
    const control = next();
    if (control < LITERALS) {
      const part = input.subarray(at, at + control + 1);
      if (done + part.length > length) throw new Error("a compressed string is too long");
      output.set(part, done);
      at += control + 1;
      done += control + 1;
      continue;
    }
    const short = control >> 5;
    const count = (short === LONG ? short + next() : short) + 2;
    const from = done - ((control & 31) << 8) - next() - 1;
    if (from < 0 || done + count > length) throw new Error("a compressed string refers to what is not there");
    // byte by byte, for what is copied may reach into itself
    for (let copied = 0; copied < count; copied++) output[done++] = output[from + copied] as number;
  }
  if (done !== length) throw new Error("a compressed string has another length");
  return output;
}
