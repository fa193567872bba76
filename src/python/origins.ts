/** Whose the lines are that an interpreter logs and prints. */
import { remember } from "../newest.ts";
import type { Job, Origin } from "./job.ts";
import type { PythonSession } from "./python-session.ts";

/** Jobs that have ended, and sessions, whose lines may still come: what is printed comes by another way than the end of its job. */
const REMEMBERED = 256;

export class Origins {
  readonly #ended = new Map<number, Origin>();
  readonly #sessions = new Map<number, string>();

  /** A session has come to live in the interpreter. */
  lodged({ key, id }: PythonSession): void {
    remember(this.#sessions, Number.parseInt(key, 10), id, REMEMBERED);
  }

  /** A job has ended. */
  ended(job: Job): void {
    remember(this.#ended, job.handle, originOf(job), REMEMBERED);
  }

  /**
   * @param job the job that the code belongs to, if it is known
   * @param handle of that job, as the interpreter tells it; 0: none
   * @param session its number, as the interpreter tells it; 0: none
   */
  of(job: Job | undefined, handle: number, session: number): Origin {
    const known = job ? originOf(job) : this.#ended.get(handle);
    if (known) return known;
    const id = this.#sessions.get(session);
    return id === undefined ? {} : { session: id };
  }
}

const originOf = (job: Job): Origin => ({ session: job.session.id, ...job.origin });
