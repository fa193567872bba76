/** Texts as Python writes them. In browsers, too: nothing of Node.js. */

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\", "'": "'", '"': '"' };
const ESCAPE = /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/gs;
const STRING = /\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|$)/sy;

/** A list of texts as Python writes it. @returns undefined for anything else */
export function parseStringList(text: string): string[] | undefined {
  const inner = /^\[(.*)\]$/s.exec(text)?.[1];
  if (inner === undefined) return undefined;
  const found: string[] = [];
  STRING.lastIndex = 0;
  while (STRING.lastIndex < inner.length) {
    const match = STRING.exec(inner);
    if (!match) return undefined;
    found.push(unescaped(match[1] ?? match[2] ?? ""));
  }
  return found;
}

const unescaped = (text: string): string =>
  text.replace(ESCAPE, (_, x?: string, u?: string, wide?: string, letter = "") => {
    const code = x ?? u ?? wide;
    return code === undefined ? (ESCAPES[letter] ?? `\\${letter}`) : String.fromCodePoint(Number.parseInt(code, 16));
  });
