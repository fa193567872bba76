/** The dashboard and the alert rules ask for figures that there are, with labels that these have. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const read = (name: string): string => readFileSync(new URL(`../../docs/monitoring/${name}`, import.meta.url), "utf8");

let server: RunningRegears;
let client: Client;
/** Names of samples, and the labels of each. */
const known = new Map<string, Set<string>>();

beforeAll(async () => {
  const port = await freePort();
  server = await startRegears(["--metrics-port", String(port)]);
  client = await connectClient(server.port);
  await client.call(
    "RG.PYEXECUTE",
    "GB('CommandReader').register(trigger='t')\nGB('StreamReader').register('s')\nGB().register('k*')",
  );
  await client.call("RG.TRIGGER", "t");
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  for (const [, name = "", labels = ""] of text.matchAll(/^(regears_\w+)(\{.*\})? \S+$/gm)) {
    const names = known.get(name) ?? new Set<string>();
    for (const [, label = ""] of labels.matchAll(/[{,](\w+)="/g)) names.add(label);
    known.set(name, names);
  }
});
afterAll(async () => {
  client?.close();
  await server?.stop();
});

/** What Prometheus adds. */
const ADDED = ["instance", "job"];

function check(expression: string): void {
  const names = [...expression.matchAll(/\b(regears_\w+)(?:\{([^}]*)\})?/g)];
  for (const [, name = "", selectors = ""] of names) {
    expect([...known.keys()], expression).toContain(name);
    for (const [, label = ""] of selectors.matchAll(/(\w+)[=!]/g))
      expect([...(known.get(name) ?? []), ...ADDED], expression).toContain(label);
  }
  const all = new Set(names.flatMap(([, name = ""]) => [...(known.get(name) ?? [])]));
  for (const [, list = ""] of expression.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of list.split(/, */)) expect([...all, ...ADDED], expression).toContain(label);
}

it("the dashboard's panels", () => {
  const { panels } = JSON.parse(read("dashboard.json")) as { panels: { targets: { expr: string }[] }[] };
  expect(panels.length).toBeGreaterThan(10);
  for (const { targets } of panels) for (const { expr } of targets) check(expr);
});

it("the alert rules, and the labels that their texts name", () => {
  const rules = read("alerts.yml").split("- alert:").slice(1);
  expect(rules.length).toBeGreaterThan(5);
  for (const rule of rules) {
    const expression = /expr: (.*)/.exec(rule)?.[1] ?? "";
    if (expression.startsWith("up{")) continue;
    check(expression);
    const [, name = ""] = /(regears_\w+)/.exec(expression) ?? [];
    for (const [, label = ""] of rule.matchAll(/\$labels\.(\w+)/g))
      expect([...(known.get(name) ?? [])]).toContain(label);
  }
});

const folder = fileURLToPath(new URL("../../docs/monitoring/", import.meta.url));
const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;

it.skipIf(!hasPromtool)(
  `the rules and the configuration are Prometheus'${hasPromtool ? "" : " (skipped: no promtool)"}`,
  () => {
    const check = (...args: string[]) => spawnSync("promtool", args, { cwd: folder, encoding: "utf8" });
    expect(check("check", "rules", "alerts.yml")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("SUCCESS"),
    });
    expect(check("check", "config", "prometheus.yml")).toMatchObject({ status: 0 });
  },
);

it("the alert rules join figures in a way that Prometheus knows", () => {
  // `scalar * on(…) vector` was no expression; promtool, where it is, finds all else
  expect(read("alerts.yml")).not.toMatch(/[\d.]+ [*/+-] (on|ignoring)\s*\(/);
});

it("the files that the composition mounts are there", () => {
  const mounted = [...read("compose.yaml").matchAll(/- \.\/(\S+?):/g)].map(([, name = ""]) => name);
  expect(mounted).toHaveLength(5);
  for (const name of mounted) expect(read(name).length).toBeGreaterThan(0);
});
