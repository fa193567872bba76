/** The cases of redis_py.py, as their decorators describe them: also where there is no Python. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const PYTHON_CASES_FILE = fileURLToPath(new URL("./redis_py.py", import.meta.url));

export interface PythonCase {
  readonly name: string;
  /** About `RG.*`, which redis-server does not have. */
  readonly gears: boolean;
  /** Why the embedded engine gives something else. */
  readonly because: string | undefined;
}

/** All cases, in their order. */
export function pythonCases(): PythonCase[] {
  const decorators = readFileSync(PYTHON_CASES_FILE, "utf8")
    .split(/^@case\(\s*/m)
    .slice(1);
  return decorators.map((text) => {
    const name = /^'([^']+)'/.exec(text)?.[1] ?? "";
    const because = /^ {4}because='([^']+)'/m.exec(text.slice(0, text.indexOf("\ndef ")))?.[1];
    return { name, gears: name.startsWith("gears"), because };
  });
}
