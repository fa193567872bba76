/** What the fuzzers share: how long they run, and the seed by which a failure can be had again. */
import fc from "fast-check";
import { figure } from "../support/figures.ts";

/** How long one comparison runs. */
export const FUZZ_SECONDS = Number(process.env.REGEARS_FUZZ_SECONDS ?? 4);
const SEED = Number(process.env.REGEARS_FUZZ_SEED ?? Date.now() % 2 ** 31);

/** Longest time that one property may take, with what it needs to make a failure small. */
export const FUZZ_TIMEOUT_MS = (FUZZ_SECONDS * 2 + 60) * 1000;

/**
 * Checks a property on random inputs for {@link FUZZ_SECONDS}; `REGEARS_FUZZ_SECONDS` and `REGEARS_FUZZ_SEED` change that.
 * @param name of the file for the figures
 * @param fewest inputs that must have been tried
 */
export async function fuzz<T>(
  name: string,
  what: string,
  inputs: fc.Arbitrary<T>,
  holds: (input: T) => Promise<void> | void,
  fewest = 10,
): Promise<void> {
  console.info(`fuzzing ${name}: seed ${SEED}, ${FUZZ_SECONDS} s`);
  let runs = 0;
  const property = fc.asyncProperty(inputs, async (input) => {
    runs++;
    await holds(input);
  });
  await fc.assert(property, {
    seed: SEED,
    numRuns: 1_000_000,
    interruptAfterTimeLimit: FUZZ_SECONDS * 1000,
    markInterruptAsFailure: false,
    endOnFailure: FUZZ_SECONDS > 60,
  });
  if (runs < fewest) throw new Error(`only ${runs} inputs were tried`);
  figure(`fuzz-${name}`, what, `${runs} random inputs in ${FUZZ_SECONDS} s, seed ${SEED}: no difference`);
}
