/** Which interpreter a session comes to live in. */
import type { Home } from "./home.ts";
import { type Job, ScriptJob } from "./job.ts";
import type { PoolOptions } from "./pool-options.ts";
import type { PythonSession } from "./python-session.ts";

export class Lodging {
  readonly #homes: ReadonlySet<Home>;
  readonly #options: Pick<PoolOptions, "threads" | "isolation">;

  constructor(homes: ReadonlySet<Home>, options: Pick<PoolOptions, "threads" | "isolation">) {
    this.#homes = homes;
    this.#options = options;
  }

  /**
   * The interpreter for a job whose session lives in none yet. One interpreter is kept free of registrations, so that there is
   * one in which a script that never ends delays no registration's executions: when all others have registrations, a script
   * that is going to register goes to one of those, if one is for its user.
   */
  forJob(job: Job): Home | undefined {
    const { threads, isolation } = this.#options;
    const { session } = job;
    const registers = job instanceof ScriptJob && job.registers;
    const used = [...this.#homes].filter((home) => home.sessions.size > 0).length;
    const shared = (home: Home): boolean => home.sessions.size > 0 && this.#isOpen(home, session);
    if (!registers || isolation || used < threads || ![...this.#homes].some(shared)) return this.#idle(session);
    return this.#leastLoaded((home) => home.idle && shared(home));
  }

  /** An idle one; if there is none, one that is busy. */
  atOnce(session: PythonSession): Home | undefined {
    return this.#idle(session) ?? this.booted(session);
  }

  /** One that has booted, be it busy or not. */
  booted(session: PythonSession): Home | undefined {
    return this.#leastLoaded((home) => home.ready && this.#isOpen(home, session));
  }

  #idle(session: PythonSession): Home | undefined {
    return this.#leastLoaded((home) => home.idle && this.#isOpen(home, session));
  }

  /** May another session come to live there? */
  #isOpen(home: Home, session: PythonSession): boolean {
    return home.suits(session) && (home.tenant === undefined || !this.#options.isolation);
  }

  /** The interpreter with the fewest sessions among those that will do. */
  #leastLoaded(willDo: (home: Home) => boolean): Home | undefined {
    let best: Home | undefined;
    for (const home of this.#homes) {
      if (willDo(home) && (best === undefined || home.sessions.size < best.sessions.size)) best = home;
    }
    return best;
  }
}
