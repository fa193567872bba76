/** What is neither Regears nor RedisGears: how fast the machine is, to scale the figures of another one. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Calibration } from "../results.ts";
import { spread } from "../statistics.ts";

const run = promisify(execFile);
const LOOP = "for i=1,500000 do redis.call('INCR','x') end";
const FIB = `import time
def fib(n):
    return n if n < 2 else fib(n-1) + fib(n-2)
times = []
for _ in range(9):
    start = time.perf_counter()
    fib(24)
    times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2] * 1000)`;

/** @param redisPort of a redis-server; undefined where there is none */
export async function calibrate(redisPort: number | undefined): Promise<Calibration> {
  const python = await run("/usr/bin/python3", ["-c", FIB]).then(
    ({ stdout }) => Number(stdout),
    () => undefined,
  );
  const lua = redisPort === undefined ? undefined : await luaLoop(redisPort);
  return { ...(lua !== undefined && { luaLoopMs: lua }), ...(python !== undefined && { pythonFibMs: python }) };
}

async function luaLoop(port: number): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    const start = performance.now();
    await run("redis-cli", ["-p", String(port), "EVAL", LOOP, "0"]);
    times.push(performance.now() - start);
  }
  return spread(times).median;
}
