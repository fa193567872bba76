/**
 * Loads the Python runtime into a plain Pyodide, with a main thread that is Python too (`fake_main.py` in the bridge's
 * place), so that these tests need no other part of the product.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadPyodide } from "pyodide";

const RUNTIME = fileURLToPath(new URL("../../../src/python/runtime/", import.meta.url));
const TESTS = fileURLToPath(new URL("./", import.meta.url));

const SIGINT = 2;

/** Modules from memory under file names like `<regears>/flow.py`, as the worker has them. */
const LOADER = `
import json, sys
from importlib.machinery import ModuleSpec

class Memory:
    def __init__(self, sources):
        self.sources = sources
    def find_spec(self, name, path=None, target=None):
        if name in self.sources:
            spec = ModuleSpec(name, self, is_package=name.partition(".")[2] == "")
            spec.has_location = False
            return spec
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        package, _, name = module.__name__.partition(".")
        exec(compile(self.sources[module.__name__], f"<{package}>/{name or '__init__'}.py", "exec"), module.__dict__)

sys.meta_path.insert(0, Memory(json.loads(sources)))
import regears.main
`;

/** A Python interpreter with the runtime in it. */
export class PythonUnderTest {
  readonly #run: (code: string) => unknown;
  readonly #set: (name: string, value: string) => void;
  /** Moments at which Python gets an interrupt, as `performance.now()` counts. */
  readonly #interrupts: number[] = [];

  private constructor(
    run: (code: string) => unknown,
    set: (name: string, value: string) => void,
    setInterruptBuffer: (buffer: never) => void,
  ) {
    this.#run = run;
    this.#set = set;
    const due = (): number => {
      if (this.#interrupts[0] === undefined || this.#interrupts[0] > performance.now()) return 0;
      this.#interrupts.shift();
      return SIGINT;
    };
    // Python reads the first byte when it looks for signals, and writes it back
    const buffer = Object.defineProperty({}, 0, { get: due, set: () => {} });
    setInterruptBuffer(buffer as never);
  }

  static async start(): Promise<PythonUnderTest> {
    const pyodide = await loadPyodide({ stdout: () => {} });
    const sources: Record<string, string> = { regears_test: "" };
    for (const file of readdirSync(RUNTIME).filter((name) => name.endsWith(".py"))) {
      sources[file === "__init__.py" ? "regears" : `regears.${file.slice(0, -3)}`] = readFileSync(
        RUNTIME + file,
        "utf8",
      );
    }
    for (const file of readdirSync(TESTS).filter((name) => name.endsWith(".py"))) {
      sources[`regears_test.${file.slice(0, -3)}`] = readFileSync(TESTS + file, "utf8");
    }
    sources["regears.bridge"] = sources["regears_test.fake_main"] ?? "";
    const python = new PythonUnderTest(
      (code) => pyodide.runPython(code),
      (name, value) => pyodide.globals.set(name, value),
      (buffer) => pyodide.setInterruptBuffer(buffer),
    );
    python.#set("sources", JSON.stringify(sources));
    python.#run(LOADER);
    return python;
  }

  /** Interrupts what Python will be doing, after so many milliseconds and then again and again. */
  interruptAfter(ms: number, times = 1): void {
    const first = performance.now() + ms;
    this.#interrupts.splice(0, this.#interrupts.length, ...Array.from({ length: times }, (_, i) => first + 25 * i));
  }

  /** Runs Python and gives the value of its last expression by way of JSON. */
  json(code: string, inputs: Record<string, unknown> = {}): unknown {
    this.#set("inputs", JSON.stringify(inputs));
    this.#set("code", code);
    return JSON.parse(String(this.#run("from regears_test import evaluate\nevaluate.as_json(code, inputs)")));
  }
}
