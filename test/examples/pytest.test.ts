/** The plugin for pytest in examples/pytest, with the pytest and the redis-py of the system. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const PYTHON = "/usr/bin/python3";
const hasPytest = spawnSync(PYTHON, ["-c", "import pytest, redis"]).status === 0;

it.skipIf(!hasPytest)(`its tests pass${hasPytest ? "" : " (skipped: no python3-pytest with python3-redis)"}`, () => {
  const { status, stdout, stderr } = spawnSync(
    PYTHON,
    ["-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/pytest"],
    {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", REGEARS: `"${process.execPath}" bin/regears.js` },
    },
  );
  expect({ status, output: stdout + stderr }).toEqual({ status: 0, output: expect.stringContaining("3 passed") });
});
