/**
 * Runs inside the realm. The globals of a web worker that Pyodide needs to boot, made of the realm's own objects.
 */
import type { Host } from "./host.ts";

/** Defines the shims as globals; gives the function that removes those which are only needed to boot. */
export function installShims(host: Host): () => void {
  class TextDecoder {
    readonly encoding: string;
    readonly fatal: boolean;
    constructor(encoding = "utf-8", options: { fatal?: boolean } = {}) {
      this.encoding = `${encoding}`.toLowerCase();
      this.fatal = options.fatal === true;
    }
    decode(bytes?: Uint8Array | ArrayBuffer): string {
      if (bytes === undefined) return "";
      const view = ArrayBuffer.isView(bytes) ? bytes : new Uint8Array(bytes);
      const text = host.decode(this.encoding, this.fatal, view);
      if (text === undefined) throw new TypeError("the bytes can not be decoded");
      return text;
    }
  }

  class TextEncoder {
    get encoding(): string {
      return "utf-8";
    }
    encode(text = ""): Uint8Array {
      const bytes = new Uint8Array(host.utf8Length(`${text}`));
      host.encodeInto(`${text}`, bytes);
      return bytes;
    }
    encodeInto(text: string, bytes: Uint8Array): { read: number; written: number } {
      return { read: text.length, written: host.encodeInto(text, bytes) };
    }
  }

  class AbortSignal {
    aborted = false;
    addEventListener(): void {}
    removeEventListener(): void {}
    static any(): AbortSignal {
      return new AbortSignal();
    }
  }
  class AbortController {
    readonly signal = new AbortSignal();
    abort(): void {
      this.signal.aborted = true;
    }
  }
  class URL {
    readonly href: string;
    constructor(href: unknown) {
      this.href = String(href);
    }
    toString(): string {
      return this.href;
    }
  }
  // Pyodide takes the realm for a web worker when `self` is an instance of this.
  const WorkerGlobalScope = { [Symbol.hasInstance]: () => true };

  const timers = new Map<number, () => void>();
  let lastTimer = 0;
  host.onTimer((id) => {
    const run = timers.get(id);
    timers.delete(id);
    run?.();
  });
  const setTimeout = (run: (...args: unknown[]) => void, milliseconds = 0, ...args: unknown[]): number => {
    timers.set(++lastTimer, () => run(...args));
    host.setTimer(lastTimer, +milliseconds || 0);
    return lastTimer;
  };
  const clearTimeout = (id: number): void => {
    timers.delete(id);
  };

  const print = (...args: unknown[]): void => host.log(args.map(describe).join(" "));
  const silent = (): void => {};
  const fetch = (url: unknown): unknown => {
    const name = String(url);
    if (name.endsWith(".wasm")) return { url: name };
    const bytes = new Uint8Array(host.fileSize("stdlib"));
    if (!host.readFile("stdlib", bytes)) return host.die("Python's library can not be read");
    return Promise.resolve({ ok: true, status: 200, arrayBuffer: () => Promise.resolve(bytes.buffer) });
  };

  Object.assign(globalThis, {
    TextDecoder,
    TextEncoder,
    setTimeout,
    clearTimeout,
    console: { log: print, warn: print, error: print, info: silent, debug: silent, trace: silent, assert: silent },
    queueMicrotask: (run: () => void) => void Promise.resolve().then(run),
    performance: { now: () => host.now(), timeOrigin: 0 },
    crypto: {
      getRandomValues: (bytes: Uint8Array) => {
        host.fillRandom(bytes);
        return bytes;
      },
    },
  });
  const bootOnly = {
    AbortController,
    AbortSignal,
    URL,
    WorkerGlobalScope,
    fetch,
    self: globalThis,
    location: new URL("regears:/"),
  };
  Object.assign(globalThis, bootOnly);
  return () => {
    for (const name of [...Object.keys(bootOnly), "loadPyodide", "createPyodideModule", "gc"])
      Reflect.deleteProperty(globalThis, name);
  };
}

function describe(value: unknown): string {
  try {
    return String(value instanceof Error ? (value.stack ?? value) : value);
  } catch {
    return "?";
  }
}
