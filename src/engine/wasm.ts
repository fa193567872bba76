/** The few parts of the WebAssembly API that the engine needs; Node's type declarations have none of them. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

type WasmImports = Record<string, Record<string, unknown>>;

interface WasmApi {
  compile(bytes: Uint8Array): Promise<object>;
  instantiate(module: object, imports: WasmImports): Promise<WasmInstance>;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: WasmImports) => WasmInstance;
  readonly Memory: new (size: { initial: number; maximum: number; shared: boolean }) => object;
  readonly Tag: new (type: { parameters: readonly string[] }) => object;
}

/** `globalThis.WebAssembly`, typed. */
export const wasm = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;

const WORD = 2 ** 32;

/** Views of a WebAssembly memory, made anew after it has grown (growing detaches the old ones). */
export class MemoryView {
  #memory: WasmMemory | undefined;
  #bytes: Uint8Array = new Uint8Array(0);
  #words: Int32Array = new Int32Array(0);

  /** Must be called before anything is read; the memory exists only once the module is instantiated. */
  attach(memory: WasmMemory): void {
    this.#memory = memory;
    this.#refresh();
  }

  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.#refresh();
    return this.#bytes;
  }

  /** The memory as aligned 32-bit words: the index is the address divided by four. */
  get words(): Int32Array {
    if (this.#words.length === 0) this.#refresh();
    return this.#words;
  }

  /** The number of 64 bits at an address: exact up to 2^53. */
  long(address: number): number {
    const { words } = this;
    const word = address >>> 2;
    return ((words[word] ?? 0) >>> 0) + (words[word + 1] ?? 0) * WORD;
  }

  setLong(address: number, value: number): void {
    const { words } = this;
    const word = address >>> 2;
    words[word] = value % WORD;
    words[word + 1] = Math.floor(value / WORD);
  }

  #refresh(): void {
    if (this.#memory === undefined) return;
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#words = new Int32Array(this.#memory.buffer);
  }
}
