/** What was probably meant by a word that is none of those there are. */

/** Letters that may be wrong, missing or too many. */
const MOST_WRONG = 2;

/** The word that is nearest to what was typed; undefined: none is near. */
export function closest(typed: string, known: readonly string[]): string | undefined {
  const near = known.map((word) => [distance(word, typed), word] as const).filter(([far]) => far <= MOST_WRONG);
  return near.sort(([one], [other]) => one - other)[0]?.[1];
}

/** What an error adds for who has mistyped something: a question, or nothing. */
export function didYouMean(typed: string, known: readonly string[], dashes = ""): string {
  const word = closest(typed, known);
  return word === undefined ? "" : `; did you mean '${dashes}${word}'?`;
}

/** Number of insertions, deletions and replacements between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries())
      next.push(Math.min((row[j] ?? 0) + (letter === other ? 0 : 1), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    row = next;
  }
  return row[b.length] ?? 0;
}
