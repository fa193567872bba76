import { describe, expect, it } from "vitest";
import { settingsFile } from "../../src/engine/boot-settings.ts";
import { EngineOutput } from "../../src/engine/engine-output.ts";

const told: string[] = [];
const output = (): EngineOutput => {
  told.length = 0;
  return new EngineOutput({ debug: (text) => told.push(`debug ${text}`), warn: (text) => told.push(`warn ${text}`) });
};
const line = (mark: string, text: string): string => `1:M 02 Jan 2030 03:04:05.678 ${mark} ${text}\n`;

describe("settings for the boot", () => {
  it("are lines in which every byte arrives", () => {
    expect(settingsFile({ save: "3600 1", requirepass: 'a "b"\\\n\u00e4\0', maxmemory: "0" }).toString("latin1")).toBe(
      'save "3600 1"\nrequirepass "a \\x22b\\x22\\x5c\\x0a\\xc3\\xa4\\x00"\nmaxmemory "0"\n',
    );
  });
});

describe("what the engine prints", () => {
  it("is its log, and its warnings count when it has booted", () => {
    const out = output();
    out.take(line("#", "WARNING Memory overcommit must be enabled!").slice(0, 20));
    out.take(line("#", "WARNING Memory overcommit must be enabled!").slice(20));
    out.take("logo\n\n");
    out.booted();
    out.take(line("*", "Ready to accept connections tcp") + line("#", "a warning") + line("*", "a note"));
    out.take(line("#", "Valkey is now ready to exit, bye bye..."));
    expect(told).toEqual([
      "debug WARNING Memory overcommit must be enabled!",
      "debug logo",
      "warn a warning",
      "debug a note",
      "debug Valkey is now ready to exit, bye bye...",
    ]);
    expect(out.failure()).toBeUndefined();
  });

  it("says why it does not boot", () => {
    const out = output();
    expect(out.failure()).toBeUndefined();
    out.take(line("#", "Short read or OOM loading DB. Unrecoverable error, aborting now."));
    out.take(line("#", "Fatal error loading the DB, check server logs. Exiting."));
    expect(out.failure()?.message).toBe(
      "the engine does not start: Short read or OOM loading DB. Unrecoverable error, aborting now.",
    );
    expect(out.failure()?.name).not.toBe("ConfigError");
  });

  it("says which setting it refuses", () => {
    const out = output();
    out.take("\n*** FATAL CONFIG FILE ERROR (Version 9.1.1) ***\nReading the configuration file, at line 3\n");
    out.take(">>> 'hz \"x\"'\nargument couldn't be parsed into an integer\n");
    expect(out.failure()).toMatchObject({
      name: "ConfigError",
      message: "the engine refuses hz: argument couldn't be parsed into an integer",
    });
  });
});
