/**
 * Runs once, before all files of tests: makes the image of Python that all servers use, if there is none yet. Otherwise the
 * first tests of a run would make it, or wait for it, while their limits of time count.
 */
import { loadAssets } from "../../src/python/snapshot.ts";

const ignore = (): void => {};

export default async function setup(): Promise<void> {
  const assets = await loadAssets({ log: { info: ignore, warn: console.warn } });
  assets.close();
}
