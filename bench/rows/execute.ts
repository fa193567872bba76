/** Commands from Python, one after the other. */
import type { Workload } from "../row.ts";

/** @param command Python's expression of one command, with `i` for its number */
function loop(name: string, command: string, block = ""): Workload {
  return {
    name,
    unit: "ms",
    async run({ client, n }) {
      const lines = [...(block === "" ? [] : [block]), `for i in range(${n(20_000)}):`, command];
      const body = lines.map((line, depth) => `${"    ".repeat(depth + 1)}${line}`).join("\n");
      await client.must("RG.PYEXECUTE", `def f(x):\n${body}\n    return 1\nGB('ShardsIDReader').map(f).run()`);
    },
  };
}

export const executes: readonly Workload[] = [
  loop("20 000 × execute('INCR')", "execute('INCR', 'n')"),
  loop("20 000 × execute('INCR') in atomic()", "execute('INCR', 'n')", "with atomic():"),
  loop("20 000 × execute('GET')", "execute('GET', 'n')"),
  loop("20 000 × execute('SET')", "execute('SET', 'k%d' % (i % 100), 'value')"),
  loop("20 000 × execute('HSET')", "execute('HSET', 'h%d' % (i % 100), 'field', 'value', 'other', '1')"),
];
