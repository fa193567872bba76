/**
 * The manifest of Valkey's append-only files (aof.c): a line for each file, such as
 * `file appendonly.aof.2.incr.aof seq 2 type i`. A base (`b`) has all data of one moment, the files of type `i` have the changes
 * after that moment, and files of type `h` are to be removed.
 */

interface ManifestLine {
  /** The line up to the type. */
  readonly begin: string;
  readonly seq: number;
  readonly type: string;
  /** The line after the type. */
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
 * @param text the manifest before
 * @param options `filename`: the name that all files begin with; `asDump`: the new base is in the format of a dump; `writing`:
 * the last file with changes is being written and goes on, the new base has what is in all others; `newIncrement`: a new file
 * with changes follows the base instead; `lastIncrement`: the highest number that a file with changes has had
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
