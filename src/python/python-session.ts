/** A script with its global variables and registrations, as the pool of interpreters sees it. */
import type { PythonRequest } from "./protocol.ts";

/** Packages that the code of a session can import. */
export interface SessionPackages {
  /** Sessions with the same packages can share an interpreter, those with others can not. */
  readonly key: string;
  /** Files of the host, each with the files of one package. */
  readonly packs: readonly string[];
  /** Do they disagree with those that every interpreter has, so that an interpreter without these is needed? */
  readonly isPlain: boolean;
}

/** Packages that every interpreter has from the start. */
export interface Preload {
  readonly packs: readonly string[];
  /** Names of the modules that are imported beforehand. */
  readonly modules: readonly string[];
}

/** It lives in one interpreter, chosen when its first job starts. */
export interface PythonSession {
  readonly id: string;
  /** What Python calls it: `number:id`. Others can have had the same id, and code of theirs may still run. */
  readonly key: string;
  /** The engine's user who submitted it; its code acts with that user's rights. */
  readonly user: string;
  /** What it has asked for by REQUIREMENTS, besides what comes with the runtime. */
  readonly packages?: SessionPackages | undefined;
  /** Opaque: the interpreter; undefined before the first job, and after the interpreter died. */
  home: object | undefined;
  /** Messages that make the session again in a fresh interpreter; undefined when it can not be made again. */
  revive(): readonly PythonRequest[] | undefined;
  /** These messages were sent; what is sent now comes right behind them. */
  onRevived?(): void;
}
