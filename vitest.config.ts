import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/image.ts"],
    setupFiles: ["test/support/each-file.ts"],
    // Servers with interpreters run beside the tests: more files at once would only make each other wait.
    maxWorkers: 2,
    // How long something may take is said where it matters. These only end what hangs, on slow and busy machines, too: what
    // takes four seconds there takes 75 beside sixteen busy processes on two cores.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    teardownTimeout: 20_000,
    expect: { poll: { timeout: 120_000, interval: 25 } },
  },
});
