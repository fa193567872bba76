/** Where the code is that interpreters run: they are asked by an interrupt, upon which the code goes on as if nothing had been. */
import type { Home } from "./home.ts";
import { BadMessage, type StackSample } from "./messages.ts";

interface Asked {
  readonly sample: Promise<StackSample | undefined>;
  readonly resolve: (sample: StackSample | undefined) => void;
}

/** Milliseconds between two interrupts: one that comes at a moment when Python's runtime can not tell anything is in vain. */
const ASK_EVERY_MS = 4;
/** Milliseconds after which code that does not tell is in a function of C, which can not be interrupted. */
const PATIENCE_MS = 100;

export class StackSampler {
  readonly #asked = new Map<Home, Asked>();

  /** @returns undefined when the interpreter does not tell in time */
  sample(home: Home): Promise<StackSample | undefined> {
    const known = this.#asked.get(home);
    if (known) return known.sample;
    let resolve!: Asked["resolve"];
    const sample = new Promise<StackSample | undefined>((settle) => {
      resolve = settle;
    });
    const ask = (): void => {
      if (home.worker.askSample()) home.samplesDue++;
    };
    const timer = setInterval(ask, ASK_EVERY_MS);
    const patience = setTimeout(() => end(undefined), PATIENCE_MS);
    const end = (told: StackSample | undefined): void => {
      clearInterval(timer);
      clearTimeout(patience);
      this.#asked.delete(home);
      home.worker.endSample();
      resolve(told);
    };
    this.#asked.set(home, { sample, resolve: end });
    ask();
    return sample;
  }

  /** An interpreter has told. @throws BadMessage when it was not asked */
  take(home: Home, sample: StackSample): void {
    if (home.samplesDue === 0) throw new BadMessage("sample: nobody has asked for one");
    home.samplesDue--;
    this.#asked.get(home)?.resolve(sample);
  }

  /** The interpreter is gone. */
  onGone(home: Home): void {
    this.#asked.get(home)?.resolve(undefined);
  }
}
