/**
 * The manifest of Valkey's append-only files (aof.c): a line for each file, such as `file appendonly.aof.2.incr.aof seq 2 type i`.
 * A base (`b`) is what there was at a moment, files with what came after it (`i`) follow, and `h` are those to be removed.
 */

interface ManifestLine {
  /** Up to the type. */
  readonly begin: string;
  readonly seq: number;
  readonly type: string;
  /** After the type. */
  readonly end: string;
}

const LINE = /^(file .+ seq (\d+) type )([bhi])(.*)$/;

const parsed = (text: string): ManifestLine[] =>
  text.split("\n").flatMap((line) => {
    const [, begin, seq, type, end] = LINE.exec(line) ?? [];
    return begin === undefined || type === undefined ? [] : [{ begin, seq: Number(seq), type, end: end ?? "" }];
  });

export interface RewrittenManifest {
  readonly text: string;
  /** Names of the files that are new. */
  readonly base: string;
  readonly increment?: string;
  /** The highest number of a file with changes that there is or was, as Valkey has to go on from it. */
  readonly lastIncrement: number;
}

/**
 * The manifest after a rewriting.
 * @param text the one before
 * @param options `filename`: the name that all have in common; `asDump`: the format of the new base; `writing`: the last file
 * with changes is the one that is written now, all others are in the base; `newIncrement`: instead there is a new one;
 * `lastIncrement`: the highest number that such a file has had
 */
export function rewritten(
  text: string,
  options: {
    readonly filename: string;
    readonly asDump: boolean;
    readonly writing: boolean;
    readonly newIncrement: boolean;
    readonly lastIncrement: number;
  },
): RewrittenManifest {
  const { filename, asDump, writing, newIncrement } = options;
  const lines = parsed(text);
  const last = lines.findLast(({ type }) => type === "i");
  const kept = writing && !newIncrement ? last : undefined;
  const highest = (types: string): number => Math.max(0, ...lines.map((l) => (types.includes(l.type) ? l.seq : 0)));
  const baseSeq = highest("b") + 1;
  const lastIncrement = Math.max(highest("i"), options.lastIncrement) + (newIncrement ? 1 : 0);
  const base = `${filename}.${baseSeq}.base.${asDump ? "rdb" : "aof"}`;
  const increment = `${filename}.${lastIncrement}.incr.aof`;
  const history = lines.filter((line) => line !== kept).map(({ begin, end }) => `${begin}h${end}`);
  const next = [
    `file ${quoted(base)} seq ${baseSeq} type b`,
    ...history,
    ...(kept ? [`${kept.begin}i${kept.end}`] : []),
    ...(newIncrement ? [`file ${quoted(increment)} seq ${lastIncrement} type i`] : []),
  ];
  return { text: `${next.join("\n")}\n`, base, lastIncrement, ...(newIncrement && { increment }) };
}

/** As Valkey writes names that are not plain. */
function quoted(name: string): string {
  const bytes = [...Buffer.from(name)];
  if (bytes.every((byte) => byte > 32 && byte < 127 && byte !== 34 && byte !== 39 && byte !== 92)) return name;
  return `"${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}"`;
}
