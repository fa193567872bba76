/** One Python worker with the tests' own runtime (fixtures/runtime/main.py), and ways to talk to it. */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeMarshal, encodeMarshal, type MarshalValue } from "../../src/python/marshal.ts";
import { loadAssets, type PythonAssets, PythonWorker } from "../../src/python/python-worker.ts";

export const fixtures = fileURLToPath(new URL("./fixtures/", import.meta.url));

/** Shared by the test files, so that only the first one has to make a snapshot. */
const cacheDir = join(tmpdir(), "regears-test-cache");

export const silent = { info: (): void => {}, warn: (): void => {} };

export function testAssets(): Promise<PythonAssets> {
  mkdirSync(cacheDir, { recursive: true });
  return loadAssets({ cacheDir, runtimeDir: join(fixtures, "runtime"), log: silent });
}

/** What the fixture runtime answers: `["ok", result]`, `["error", type, text]` or `["echo", message]`. */
export type Answer = readonly MarshalValue[];

export class TestWorker {
  readonly worker: PythonWorker;
  readonly output: string[] = [];
  /** Reason of the exit, once it is gone. */
  readonly gone: Promise<string>;
  /** What to do with messages; by default the next waiting `answer` gets them. */
  onMessage: (bytes: Uint8Array) => void = (bytes) => this.#arrived(bytes);
  readonly #waiting: ((bytes: Uint8Array) => void)[] = [];
  readonly #unread: Uint8Array[] = [];
  exited: string | undefined;

  constructor(assets: PythonAssets, options: { memoryLimitMb?: number; memfsLimitMb?: number } = {}) {
    let leave: (reason: string) => void = () => {};
    this.gone = new Promise((resolve) => {
      leave = resolve;
    });
    this.worker = new PythonWorker({
      assets,
      memoryLimitMb: options.memoryLimitMb ?? 512,
      memfsLimitMb: options.memfsLimitMb ?? 64,
      onMessage: (bytes) => this.onMessage(bytes),
      onOutput: ({ stream, text }) => this.output.push(`${stream}: ${text}`),
      onExit: (reason) => {
        this.exited = reason;
        leave(reason);
      },
    });
  }

  static async start(
    assets: PythonAssets,
    options: { memoryLimitMb?: number; memfsLimitMb?: number } = {},
  ): Promise<TestWorker> {
    const worker = new TestWorker(assets, options);
    await worker.worker.ready;
    return worker;
  }

  /** The next message, raw. Fails when the worker dies first. */
  async message(): Promise<Uint8Array> {
    const ready = this.#unread.shift();
    if (ready !== undefined) return ready;
    const next = new Promise<Uint8Array>((resolve) => this.#waiting.push(resolve));
    const died = this.gone.then((reason): never => {
      throw new Error(`the worker died: ${reason}`);
    });
    return Promise.race([next, died]);
  }

  async answer(): Promise<Answer> {
    return decodeMarshal(await this.message()) as Answer;
  }

  /** Posts a message. */
  post(...message: MarshalValue[]): void {
    this.worker.post(encodeMarshal(message));
  }

  /** Runs Python code; gives what it left in `result`, or what it raised. */
  run(code: string): Promise<Answer> {
    this.post("run", code);
    return this.answer();
  }

  /** The same for code that must succeed. */
  async value(code: string): Promise<MarshalValue | undefined> {
    const [kind, ...rest] = await this.run(code);
    if (kind !== "ok") throw new Error(`Python failed: ${rest.join(": ")}`);
    return rest[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker.terminate();
  }

  #arrived(bytes: Uint8Array): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting(bytes);
    else this.#unread.push(bytes);
  }
}
