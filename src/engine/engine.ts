/**
 * The engine: where the data lives. It is anything that gives out connections which speak RESP; nothing else in the code
 * may care whether that is Valkey in WebAssembly in this process or a server reached by URL.
 */

/** One RESP connection to the engine, as a client of Redis would hold it. */
export interface EngineConnection {
  /**
   * Sends bytes. They belong to the connection from now on, which may keep them for a while: pass a copy of what is reused.
   * @param quiet whole commands of the server's own: MONITOR does not show them, where the engine can do that
   * @returns false when the engine's side is full: stop writing until {@link EngineConnection.onDrain} fires.
   */
  write(bytes: Uint8Array, quiet?: boolean): boolean;
  /** Bytes of replies, cut anywhere. The receiver owns them. Set once, before the first write. */
  onData: (bytes: Buffer) => void;
  /** There is room again after {@link EngineConnection.write} gave false. */
  onDrain: () => void;
  /** The connection is gone: closed by the engine, or unreachable (then with the reason). Called exactly once. */
  onClose: (reason?: Error) => void;
  /** Has what was written carried out, and delivers its replies, within the call, where the engine can do that. */
  flushNow?(): void;
  /** Stops and resumes the delivery of data; the engine is slowed down or buffers (its output limits apply). */
  pause(): void;
  resume(): void;
  /**
   * The connection is about to monitor, or no longer does so. For an engine that does not see where its clients come from,
   * and so can not write it into the lines of MONITOR.
   */
  monitor?(on: boolean): void;
  /**
   * While the connection monitors: the address of the client whose commands the bytes tell of that `onData` gets just now;
   * undefined: these commands are not to be shown.
   */
  readonly cause?: string | undefined;
  /**
   * What the engine writes to the connection stays in the engine until `resume`, so that others can carry commands out over
   * it. @returns undefined where that is not possible, or not now, since something is under way
   */
  holdBack?(): HeldConnection | undefined;
  /** Closes the connection and drops what was not sent. `onClose` is not called for it. */
  close(): void;
}

/** A connection whose output stays in the engine. */
export interface HeldConnection {
  /** The descriptor that the engine has it under. */
  readonly descriptor: number;
  /** Most bytes of replies that the engine may hold for it; 0: no limit. */
  readonly outputLimit: number;
  /** The engine has closed it, in another thread. */
  noteClosed(): void;
}

/** Where a client of ours comes from and came to, as Redis writes addresses. */
export interface ClientAddresses {
  readonly peer: string;
  readonly local: string;
}

/** What an engine may make use of when it opens a connection. */
export interface ConnectOptions {
  /** The connection gets its bytes before all others, where an engine can do that. For listening to notifications. */
  readonly priority?: boolean;
  /** The addresses of the client that the connection is for. */
  readonly addresses?: ClientAddresses;
}

/** What may be asked of an engine. */
export interface Engine {
  /** For people: `embedded` or the URL without its password. */
  readonly description: string;
  /** True when the data lives in this process, so that events are exact and the server alone can hold the engine. */
  readonly embedded: boolean;
  /** Boots or reaches the engine. @throws InternalError when it can not be used. */
  start(): Promise<void>;
  /** Opens a connection; bytes may be written right away. An unreachable engine closes it with a reason. */
  connect(options?: ConnectOptions): EngineConnection;
  /** For an engine that does not show where its clients come from: what {@link connect} was told, by `fd` of CLIENT LIST. */
  addressesOf?(descriptor: number): ClientAddresses | undefined;
  /** For an engine in this process: moves its clock ahead, by milliseconds. */
  moveClock?(ms: number): void;
  /** Called whenever the engine went away or came back (by URL only; the embedded one is always up). */
  onStateChange: (up: boolean) => void;
  /** Ends everything. */
  stop(): Promise<void>;
}

/** Text of the error reply that clients get while an engine by URL is unreachable. */
export const ENGINE_DOWN = "ERR engine is not reachable";

/** Requests that wait for a reply are rejected with this error when the engine has gone. */
export const DOWN = new Error(ENGINE_DOWN);

/** Most commands of a client in one piece: the embedded engine serves nobody else while it carries out a piece. */
export const FULL_COMMANDS = 32;

/** Longest reply to the server's own requests, unless a caller says otherwise, in bytes. */
export const MAX_REPLY = 256 * 1024 * 1024;

/** The text of the error for a reply that is longer than it may be. @param limit in bytes */
export const replyTooLong = (limit: number): string => `ERR the reply is longer than ${limit} bytes`;

/** May a command have so many words, its name included? @param arity as in COMMAND: negative is at least so many */
export const arityFits = (arity: number, words: number): boolean => (arity >= 0 ? words === arity : words >= -arity);
