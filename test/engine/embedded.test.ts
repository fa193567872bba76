import { describe } from "vitest";
import { EmbeddedEngine } from "../../src/engine/embedded.ts";
import { engineCases } from "./engine.cases.ts";

describe("EmbeddedEngine", () => {
  engineCases(async () => {
    const engine = new EmbeddedEngine();
    await engine.start();
    return { engine, stop: () => engine.stop() };
  });
});
