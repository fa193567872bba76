/** The checksum at the end of a dump: CRC-64 with the polynomial of Jones, its bits reflected, as in Redis' crc64.c. */

const POLYNOMIAL_HIGH = 0x95ac9329;
const POLYNOMIAL_LOW = 0xac4bc9b5;

const HIGH = new Uint32Array(256);
const LOW = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let [high, low] = [0, byte];
  for (let bit = 0; bit < 8; bit++) {
    const isOdd = (low & 1) === 1;
    low = ((low >>> 1) | (high << 31)) >>> 0;
    high >>>= 1;
    if (isOdd) [high, low] = [(high ^ POLYNOMIAL_HIGH) >>> 0, (low ^ POLYNOMIAL_LOW) >>> 0];
  }
  [HIGH[byte], LOW[byte]] = [high, low];
}

export class Crc64 {
  #high = 0;
  #low = 0;

  add(bytes: Uint8Array): void {
    let [high, low] = [this.#high, this.#low];
    for (const byte of bytes) {
      const at = (low ^ byte) & 255;
      low = ((low >>> 8) | (high << 24)) ^ (LOW[at] as number);
      high = (high >>> 8) ^ (HIGH[at] as number);
    }
    [this.#high, this.#low] = [high, low];
  }

  /** As it stands at the end of a file. */
  get bytes(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(this.#low >>> 0, 0);
    bytes.writeUInt32LE(this.#high >>> 0, 4);
    return bytes;
  }
}
