import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/each-file.ts"],
    // Servers with interpreters run beside the tests: more files at once would only make each other wait.
    maxWorkers: 2,
    // How long something may take is said where it matters. These only end what hangs, on slow and busy machines, too.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    expect: { poll: { timeout: 60_000, interval: 25 } },
  },
});
