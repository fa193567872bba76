/** What the pool of interpreters is given. */
import type { Logger } from "../log.ts";
import type { Job } from "./job.ts";
import type { BackgroundRun, CallContext } from "./python-host.ts";
import type { PythonSession } from "./python-session.ts";
import type { PythonAssets } from "./started-worker.ts";

export interface PoolOptions {
  /** Executions that may run at once (ExecutionThreads). One interpreter more may exist, for bodies of scripts. */
  readonly threads: number;
  /** Executions that may run in an interpreter while others of it wait, on top of these. */
  readonly mostOnTop: number;
  /** Given: each session has an interpreter that no other session has ever used. */
  readonly isolation?: {
    /** Most interpreters at a time. */
    readonly maxInterpreters: number;
    /** Is there anything that will call a session's code again, besides its jobs and registrations? */
    readonly inUse: (session: PythonSession) => boolean;
  };
  readonly memoryLimitMb: number;
  readonly memfsLimitMb: number;
  readonly assets: () => Promise<PythonAssets>;
  /** A job is about to run on top of what its interpreter does. */
  readonly beforeNested?: (home: CallContext, job: Job) => void;
  /** An interpreter is to carry out a client's commands. @param owner in whose name @returns whether it may */
  readonly beforeChunk?: (home: CallContext, owner: object) => boolean;
  /** A job has ended, or died with its interpreter. */
  readonly onJobEnd: (home: object, job: Job) => void;
  /** An interpreter is gone; what was kept for it can be freed. */
  readonly onGone: (home: object) => void;
  /** An interpreter has run for long what is no job's. */
  readonly onBackground?: (run: BackgroundRun) => void;
  /** Called before each message of an interpreter is dealt with: what its commands have caused comes first. */
  readonly beforeMessage?: () => void;
  /** An interpreter has carried commands out in the engine by itself. @param owes others wait for what they have brought */
  readonly onEngineUsed?: (owes: boolean) => void;
  /** An interpreter has ended inside the engine. */
  readonly onEngineBroken?: () => void;
  readonly log: Logger;
  /** Takes what scripts print; `log` unless given. */
  readonly output?: Pick<Logger, "info">;
  /** Milliseconds that interrupted Python code has to stop before its interpreter is replaced. */
  readonly abortGraceMs?: number;
}
