/** Glob patterns as in Redis' `stringmatchlen`: `*`, `?`, `[a-c]`, `[^a]`, and `\` before a character. Ignores case. */
export function globMatches(pattern: string, name: string): boolean {
  const tokens = pattern.toLowerCase().match(/\\[\s\S]|\[\^?(?:\\[\s\S]|[^\]\\])*\]?|[\s\S]/g) ?? [];
  const text = name.toLowerCase();
  let token = 0;
  let at = 0;
  // Where to go on when a later star fails; only the last star ever needs another try.
  let starToken = -1;
  let starAt = 0;
  while (at < text.length) {
    const wanted = tokens[token];
    if (wanted === "*") {
      starToken = token++;
      starAt = at;
    } else if (wanted !== undefined && matchesOne(wanted, text[at] ?? "")) {
      token++;
      at++;
    } else if (starToken >= 0) {
      token = starToken + 1;
      at = ++starAt;
    } else {
      return false;
    }
  }
  while (tokens[token] === "*") token++;
  return token === tokens.length;
}

function matchesOne(token: string, character: string): boolean {
  if (token === "?") return true;
  if (token.length === 2 && token.startsWith("\\")) return token[1] === character;
  if (!token.startsWith("[") || token.length === 1) return token === character;
  const negated = token[1] === "^";
  const body = token.slice(negated ? 2 : 1, token.endsWith("]") ? -1 : undefined);
  let found = false;
  for (let index = 0; index < body.length; index++) {
    if (body[index] === "\\" && index + 1 < body.length) index++;
    const low = body[index] ?? "";
    const high = body[index + 1] === "-" ? (body[index + 2] ?? low) : low;
    if (high !== low || body[index + 1] === "-") index += 2;
    if ((character >= low && character <= high) || (character >= high && character <= low)) found = true;
  }
  return found !== negated;
}
