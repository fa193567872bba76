/** Prefixes of KeysReader and StreamReader registrations: only a star at the end is special. */

/** Makes the test whether a key belongs to a prefix. An empty prefix matches nothing. */
export function prefixTest(prefix: Buffer): (key: Buffer) => boolean {
  if (prefix.at(-1) !== 0x2a) return prefix.length === 0 ? () => false : (key) => key.equals(prefix);
  const start = prefix.subarray(0, -1);
  if (start.length === 0) return () => true;
  return (key) => key.length >= start.length && key.compare(start, 0, start.length, 0, start.length) === 0;
}
