/** Commands of modules in a log of changes: requests in RESP, and lines that begin with `#`. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { keep } from "./module-data.ts";

/** What a log has of modules. */
export interface LoggedCommands {
  /** How often each was logged, by name in capitals. */
  readonly counts: ReadonlyMap<string, number>;
  /** From where to where the others are, the end not among them. */
  readonly kept: readonly (readonly [start: number, end: number])[];
}

const WINDOW = 256 * 1024;
const LONGEST_LINE = 1024;
const [STAR, DOLLAR, HASH, LF] = [42, 36, 35, 10];
/** No command of Redis' or Valkey's own has a point in its name. */
const OF_MODULE = /^[^.]+\../;
/** Longer names are those of no command. */
const LONGEST_NAME = 256;

/** Is it one of RedisGears? */
export const isOfGears = (name: string): boolean => name.startsWith("RG.");

/**
 * Reads a log from a place on.
 * @param from where the first command begins
 * @throws what the file system throws. What can not be understood, such as an end that was cut off, is kept
 */
export function readLoggedCommands(path: string, from: number): LoggedCommands {
  const fd = openSync(path, "r");
  try {
    return collect(new Lines(fd), from);
  } finally {
    closeSync(fd);
  }
}

function collect(lines: Lines, from: number): LoggedCommands {
  const counts = new Map<string, number>();
  const kept: [number, number][] = [];
  for (let at = from; at < lines.size; ) {
    const command = commandAt(lines, at);
    if (!command) {
      keep(kept, { start: at, end: lines.size });
      break;
    }
    const { name, end } = command;
    if (OF_MODULE.test(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
    else keep(kept, { start: at, end });
    at = end;
  }
  return { counts, kept };
}

/** @returns undefined when there is no whole one */
function commandAt(lines: Lines, start: number): { readonly name: string; readonly end: number } | undefined {
  const first = lines.at(start);
  if (first?.type === HASH) return { name: "", end: first.end };
  if (first?.type !== STAR) return undefined;
  let name = "";
  let at = first.end;
  for (let index = 0; index < first.number; index++) {
    const argument = lines.at(at);
    if (argument?.type !== DOLLAR) return undefined;
    if (index === 0 && argument.number <= LONGEST_NAME) name = lines.text(argument.end, argument.number).toUpperCase();
    at = argument.end + argument.number + 2;
  }
  return at <= lines.size ? { name, end: at } : undefined;
}

class Lines {
  readonly size: number;
  readonly #fd: number;
  readonly #window = Buffer.alloc(WINDOW);
  #windowAt = 0;
  #windowLength = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.size = fstatSync(fd).size;
  }

  /** The line that begins there: its first byte, the number after that, and where the next one begins. */
  at(start: number): { readonly type: number; readonly number: number; readonly end: number } | undefined {
    const bytes = this.#bytes(start, LONGEST_LINE);
    const end = bytes.indexOf(LF);
    if (end < 0) return undefined;
    const number = Number(bytes.toString("latin1", 1, end - 1));
    return { type: bytes[0] ?? 0, number: number >= 0 ? number : 0, end: start + end + 1 };
  }

  text(start: number, length: number): string {
    return this.#bytes(start, length).toString("latin1");
  }

  #bytes(start: number, length: number): Buffer {
    const inWindow = start - this.#windowAt;
    if (inWindow < 0 || inWindow + length > this.#windowLength) {
      this.#windowAt = start;
      this.#windowLength = readSync(this.#fd, this.#window, 0, WINDOW, start);
    }
    const from = start - this.#windowAt;
    return this.#window.subarray(from, Math.min(from + length, this.#windowLength));
  }
}
