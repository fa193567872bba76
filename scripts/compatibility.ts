/** The generated parts of docs/compatibility.md: which clients are tested with what, and what they find different. */
import { readFileSync } from "node:fs";
import type { Difference } from "../test/clients/cases.ts";
import { ioredis } from "../test/clients/ioredis.cases.ts";
import { modulesSdk } from "../test/clients/modules-sdk.cases.ts";
import { nodeRedis } from "../test/clients/node-redis.cases.ts";
import { pythonCases } from "../test/clients/redis-py.ts";

interface TestedCase {
  readonly name: string;
  readonly gears?: boolean | undefined;
  readonly differs?: Pick<Difference, "because" | "on"> | undefined;
}

interface TestedClient {
  readonly client: string;
  readonly version: string;
  readonly cases: readonly TestedCase[];
}

/** Debian 12's, which CI installs. */
const REDIS_PY = "4.3.4";

function testedClients(): TestedClient[] {
  const { devDependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const fromPython = pythonCases().map(({ name, gears, because }) => ({
    name,
    gears,
    differs: because === undefined ? undefined : { because, on: "embedded" as const },
  }));
  return [
    ...[ioredis, nodeRedis, modulesSdk].map(({ client, cases }) => ({
      client,
      version: devDependencies[client] ?? "",
      cases: cases as readonly TestedCase[],
    })),
    { client: "redis-py", version: REDIS_PY, cases: fromPython },
  ];
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

/** The clients, and their cases by name. */
export function clientTable(): string {
  const rows = testedClients().map(({ client, version, cases }) => {
    const compared = cases.filter(({ gears }) => gears !== true).map(({ name }) => name);
    const gears = cases.filter((one) => one.gears === true).map(({ name }) => name);
    return [client, version, compared.join("; ") || "–", gears.map((name) => name.replace(/^gears: /, "")).join("; ")];
  });
  return table(["client", "version", "compared with redis-server", "gears"], rows);
}

/** What a client finds different, and why. */
export function differenceTable(): string {
  const rows = testedClients().flatMap(({ client, cases }) =>
    cases.flatMap(({ name, differs }) =>
      differs ? [[client, name, differs.on === "embedded" ? "embedded" : "any", differs.because]] : [],
    ),
  );
  return table(["client", "case", "engine", "why"], rows);
}

/** What `npm run arm64` found when it was run last. */
export function arm64Table(): string {
  const file = new URL("../bench/results/arm64.json", import.meta.url);
  const { what, result } = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
  return table(["what was done", "what came of it"], [[what ?? "", result ?? ""]]);
}
