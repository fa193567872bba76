/**
 * What the worker gives to the realm that Pyodide runs in. The realm holds no other thing of Node's: these functions take
 * and return primitives, or copy from and to buffers that belong to the realm, and never throw.
 */
export interface Host {
  /** Text of bytes; undefined when `fatal` and they are not valid. */
  decode(encoding: string, fatal: boolean, bytes: Uint8Array): string | undefined;
  utf8Length(text: string): number;
  /** Writes as much of the text as fits; gives the number of bytes. */
  encodeInto(text: string, bytes: Uint8Array): number;
  fillRandom(bytes: Uint8Array): void;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Sets what is called with a timer's id when it is due. Timers only work until `serve` is entered. */
  onTimer(fire: (id: number) => void): void;
  setTimer(id: number, milliseconds: number): void;
  /**
   * Size of a file given to the worker, -1 when there is none: `stdlib`, `preface`, the head of Pyodide's snapshot, and
   * `libraries`, a JSON list of the shared libraries that are in it.
   */
  fileSize(name: string): number;
  /** Copies such a file. @returns false when it could not be read */
  readFile(name: string, into: Uint8Array): boolean;
  /** Makes the interpreter's memory that of the snapshot. @returns false when it could not be read */
  restoreMemory(memory: ArrayBufferLike): boolean;
  /** Has main sent a message that is not read yet? */
  isWanted(): boolean;
  /** Gives back the memory that booting has used. */
  collectGarbage(): void;
  /** Keeps the memory snapshot that was asked for. @param libraries those that are in it, as JSON */
  saveSnapshot(bytes: Uint8Array, libraries: string): void;
  /** A line of Pyodide's own, for the log. */
  log(text: string): void;
  /** Bytes printed by Python; gives their number. */
  output(stream: number, bytes: Uint8Array): number;

  /**
   * Sends a message to main; gives its length or a negative errno. A request for the engine, which begins as a tuple, is carried
   * out in this thread, if that is allowed; then the result is one of `DIRECT_OUTCOME`.
   */
  send(memory: ArrayBufferLike, offset: number, length: number): number;
  /** Receives a piece of a message, waiting for one; gives its length, 0 when none came in time, or a negative errno. */
  receive(memory: ArrayBufferLike, offset: number, length: number): number;
  /**
   * Files of packages, as a JSON list of path and size: those of the start by the first call, those that main has given by the
   * next one. Every later call gives an empty list.
   */
  packageTable(): string;
  /** Reads from such a file, by its place in both lists together; gives how many bytes, 0 at its end, or a negative errno. */
  packageRead(file: number, memory: ArrayBufferLike, offset: number, length: number, position: number): number;
  /**
   * Commands:
   * - 0 makes the last message unread again.
   * - 1 asks for a number: with argument 0 the handle of the job that main wants interrupted (0 for none), with 1 the size of
   *   the last message, with 2 whether main lends a thread (1: yes, and it is taken now), with 3 the size of an answer of the
   *   engine that is to be read. With 4 the next read gets nothing: its buffer becomes the place for answers of the engine.
   * - 2 says that the last message is done with, and until when (in terms of `now`) the next read waits for a message. After a
   *   `send` the next read is for its reply, waits without a limit, and expects it soon. A negative time says that the event loop
   *   waits, and that nothing else goes on meanwhile.
   */
  control(command: number, argument: number): number;
  /** Counts a call that was answered with an error because it leads out of the sandbox. */
  denied(): void;
  /** Takes the pending signal: 2 (SIGINT), or 0 for none. */
  takeInterrupt(): number;
  /** The worker is beyond use: tells main why and ends the thread. Never returns. */
  die(reason: string): never;
}

/** How a realm is to be booted; passed as JSON. */
export interface BootOptions {
  /** Build a snapshot instead of serving. */
  readonly makeSnapshot: boolean;
  readonly memfsBytes: number;
  readonly memfsNodes: number;
  readonly warmUp: boolean;
  /** The runtime package: module name (of the package `regears`) to source text. Needed only without a snapshot. */
  readonly modules: Readonly<Record<string, string>>;
  /** Source text of the loader, which has to be run before there is a package. */
  readonly loader: string;
  /** Names of modules of packages that are to be imported into the snapshot. */
  readonly preload: readonly string[];
}
