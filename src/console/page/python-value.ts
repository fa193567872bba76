/** Reads a dict as Python writes it, one level deep: values that are no plain texts stay as they are written. */

const STRING = /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/y;

/** The entries of `{'key': value, …}` as texts; undefined when the text is none such. */
export function parsePython(text: string): Map<string, string> | undefined {
  if (!text.startsWith("{") || !text.endsWith("}")) return undefined;
  const entries = new Map<string, string>();
  let at = 1;
  while (at < text.length - 1) {
    const key = stringAt(text, at);
    if (key === undefined || !text.startsWith(": ", at + key.length)) return undefined;
    const from = at + key.length + 2;
    const end = valueEnd(text, from);
    if (end === undefined) return undefined;
    entries.set(plain(key), plain(text.slice(from, end)));
    at = end;
    if (text.startsWith(", ", at)) at += 2;
    else if (at !== text.length - 1) return undefined;
  }
  return entries.size > 0 ? entries : undefined;
}

function stringAt(text: string, at: number): string | undefined {
  STRING.lastIndex = at;
  return STRING.exec(text)?.[0];
}

/** Where a value ends: before the comma or bracket that is not its own. */
function valueEnd(text: string, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at] ?? "";
    if (char === "'" || char === '"') {
      const string = stringAt(text, at);
      if (string === undefined) return undefined;
      at += string.length - 1;
    } else if ("([{".includes(char)) depth++;
    else if (")]}".includes(char)) {
      if (depth === 0) return at;
      depth--;
    } else if (char === "," && depth === 0) return at;
  }
  return undefined;
}

const plain = (text: string): string =>
  /^(['"]).*\1$/s.test(text) ? text.slice(1, -1).replace(/\\(['"\\])/g, "$1") : text;
