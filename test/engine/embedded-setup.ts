/** An embedded engine for each test of a file that calls {@link start}; importing this stops it after the test. */
import { afterEach } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine, type EmbeddedOptions } from "../../src/engine/embedded-engine.ts";

/** The present one. */
export let engine = new EmbeddedEngine();
/** What it has warned of. */
export const warnings: string[] = [];

/** @returns a client of a new engine */
export async function start(options: EmbeddedOptions = {}): Promise<EngineClient> {
  warnings.length = 0;
  engine = new EmbeddedEngine({ log: { debug: () => {}, warn: (text) => warnings.push(text) }, ...options });
  await engine.start();
  return new EngineClient(engine.connect());
}

afterEach(() => engine.stop());
