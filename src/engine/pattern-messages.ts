/**
 * Messages of patterns, read where they lie. Most begin as the one before them did, since one pattern and channel bring very
 * many keys: of such a message nothing is decoded but what it says.
 */
const [ZERO, NINE, CR, LF] = [0x30, 0x39, 0x0d, 0x0a] as const;
/** A message with a longer length than this is not for here. */
const MOST_DIGITS = 8;

const bulk = (bytes: Buffer): Buffer[] => [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n")];

export class PatternMessages {
  /** What the last message began with, up to the length of its payload. */
  #head: Buffer | undefined;
  /** Pattern and channel of the last message: the same objects as long as that does not change. */
  pattern: Buffer = Buffer.alloc(0);
  channel: Buffer = Buffer.alloc(0);
  /** What the last message says that {@link take} has read; a view. */
  payload: Buffer = Buffer.alloc(0);

  /** Takes note of a message that was decoded otherwise. */
  learn(pattern: Buffer, channel: Buffer): void {
    this.pattern = Buffer.from(pattern);
    this.channel = Buffer.from(channel);
    const parts = [
      Buffer.from("*4\r\n"),
      ...bulk(Buffer.from("pmessage")),
      ...bulk(this.pattern),
      ...bulk(this.channel),
    ];
    this.#head = Buffer.concat([...parts, Buffer.from("$")]);
  }

  /**
   * Reads a message that begins as the last one did.
   * @param bytes have the beginning of a reply at `start`
   * @returns where the message ends; -1 when it is another one, or not there as a whole
   */
  take(bytes: Buffer, start: number): number {
    const head = this.#head;
    if (head === undefined || bytes.length - start <= head.length) return -1;
    let at = start + head.length;
    if (bytes.compare(head, 0, head.length, start, at) !== 0) return -1;
    let length = 0;
    const mostly = at + MOST_DIGITS;
    for (let digit = bytes[at] as number; digit >= ZERO && digit <= NINE; digit = bytes[++at] as number) {
      if (at >= mostly) return -1;
      length = length * 10 + digit - ZERO;
    }
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return -1;
    const end = at + 2 + length;
    if (end + 2 > bytes.length || bytes[end] !== CR || bytes[end + 1] !== LF) return -1;
    this.payload = bytes.subarray(at + 2, end);
    return end + 2;
  }
}
