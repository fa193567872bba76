/** The sandbox under attack. An attempt may fail with any error, or end its worker; it must not succeed, and main must not notice. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PythonAssets } from "../../src/python/python-worker.ts";
import { fixtures, TestWorker, testAssets } from "./support.ts";

const source = readFileSync(join(fixtures, "escapes.py"), "utf8");
const helpers = new Set(["use_js", "builtin", "forget", "attempts", "ctypes_call"]);
const attempts = [...source.matchAll(/^def (\w+)\(/gm)]
  .map((match) => match[1] ?? "")
  .filter((name) => !helpers.has(name));

let assets: PythonAssets;
let python: TestWorker | undefined;
beforeAll(async () => {
  assets = await testAssets();
});
afterAll(() => python?.worker.terminate());

async function attempt(name: string): Promise<string> {
  if (python === undefined || python.exited !== undefined) {
    python = await TestWorker.start(assets);
    await python.value(
      `import sys\nsys.modules["attempts"] = module = type(sys)("attempts")\nexec(${JSON.stringify(source)}, module.__dict__)`,
    );
  }
  const timer = setTimeout(() => void python?.worker.terminate(), 60_000);
  try {
    const [kind, ...rest] = await python.run(
      `import attempts\nvalue = attempts.${name}()\nresult = str(value)[:200] if value else None`,
    );
    if (kind === "ok") return rest[0] == null ? "came to nothing" : `ESCAPED: ${rest[0]}`;
    return `failed: ${rest.join(": ")}`;
  } catch (error) {
    return `killed: ${error instanceof Error ? error.message : error}`;
  } finally {
    clearTimeout(timer);
  }
}

describe("no way out by", () => {
  it.each(attempts.map((name) => [name]))("%s", async (name) => {
    const outcome = await attempt(name);
    expect(outcome).not.toMatch(/ESCAPED/);
    expect(outcome).not.toMatch(/terminated|SyntaxError/);
    if (process.env.REGEARS_SHOW_ESCAPES) console.log(`${name}: ${outcome}`);
  });
});

describe("the realm", () => {
  it("was attacked from many sides", () => {
    expect(attempts.length).toBeGreaterThan(80);
  });

  it("lets Python work as usual after all that", async () => {
    await using worker = await TestWorker.start(assets);
    expect(
      await worker.value(
        `import json, re, sqlite3, datetime, decimal, hashlib, zlib, statistics, itertools, os, time, uuid, gc, collections, logging, zoneinfo
db = sqlite3.connect(":memory:")
db.execute("create table t (a)")
db.executemany("insert into t values (?)", [(i,) for i in range(10)])
open("/tmp/x", "w").write("text")
gc.collect()
time.localtime(); datetime.datetime.now().astimezone(); os.urandom(70000)
result = [json.dumps({"a": [1, 2.5, None]}), re.sub("a+", "b", "caat"), db.execute("select sum(a) from t").fetchone()[0],
  str(decimal.Decimal("1") / 3)[:6], hashlib.sha256(b"x").hexdigest()[:8], len(zlib.compress(b"x" * 1000)) < 50,
  open("/tmp/x").read(), statistics.mean([1, 2, 3]), datetime.date(2020, 1, 1).isoformat()]`,
      ),
    ).toEqual(['{"a": [1, 2.5, null]}', "cbt", 45, "0.3333", "2d711642", true, "text", 2, "2020-01-01"]);
  });
});
