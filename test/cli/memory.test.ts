/** What a server takes that has nothing to do. The bounds are wide: they are to find copies that somebody has kept. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { callOnce } from "../support/client.ts";
import { pidOf, residentBytes } from "../support/processes.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const REST_MB = 225;
const INTERPRETER_MB = 75;

describe.skipIf(process.platform !== "linux")("memory at rest", () => {
  let server: RunningRegears;
  beforeAll(async () => {
    // the first start makes the snapshot, and takes more
    await (await startRegears()).stop();
    server = await startRegears(["--isolation", "session", "--max-interpreters", "4"]);
  });
  afterAll(() => server.stop());

  const resident = (): number => residentBytes(pidOf(server)) / 1024 / 1024;
  it("is small, and grows by little for each further interpreter", async () => {
    await vi.waitFor(() => expect(resident()).toBeLessThan(REST_MB), { timeout: 30_000, interval: 250 });
    for (const name of ["a", "b", "c"]) {
      const script = `GB('CommandReader').register(trigger='${name}')`;
      expect(await callOnce(server.port, "RG.PYEXECUTE", script)).toBe("OK");
    }
    await vi.waitFor(() => expect(resident()).toBeLessThan(REST_MB + 3 * INTERPRETER_MB), {
      timeout: 30_000,
      interval: 250,
    });
  });
});
