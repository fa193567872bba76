import { describe, expect, it } from "vitest";
import { Durations } from "../../src/executions/durations.ts";
import { infoLines, prometheusText } from "../../src/visibility/formats.ts";
import type { Metric } from "../../src/visibility/metrics.ts";

const METRICS: readonly Metric[] = [
  { name: "clients", help: "A back\\slash\nand a line", type: "gauge", samples: [{ labels: {}, value: 3 }] },
  {
    name: "ended_total",
    help: "Ended",
    type: "counter",
    samples: [
      { labels: { outcome: "done" }, value: 1.23456 },
      { labels: { outcome: "failed" }, value: 0 },
    ],
  },
  {
    name: "info",
    help: "Labels",
    type: "gauge",
    samples: [{ labels: { a: 'say "hi"\\\n', b: "2" }, value: 1 }],
    detail: true,
  },
];

describe("the figures as text", () => {
  it("are Prometheus' format, with its escapes", () => {
    expect(prometheusText(METRICS)).toBe(
      [
        "# HELP regears_clients A back\\\\slash\\nand a line",
        "# TYPE regears_clients gauge",
        "regears_clients 3",
        "# HELP regears_ended_total Ended",
        "# TYPE regears_ended_total counter",
        'regears_ended_total{outcome="done"} 1.23456',
        'regears_ended_total{outcome="failed"} 0',
        "# HELP regears_info Labels",
        "# TYPE regears_info gauge",
        'regears_info{a="say \\"hi\\"\\\\\\n",b="2"} 1',
        "",
      ].join("\n"),
    );
  });

  it("are lines of INFO, without what is too much for it", () => {
    expect(infoLines(METRICS)).toEqual(["clients:3", "ended_total_done:1.235", "ended_total_failed:0"]);
  });
});

describe("durations", () => {
  it("are counted in the class of their bound", () => {
    const durations = new Durations();
    for (const ms of [0, 1, 1.1, 60_000, 60_001]) durations.add(ms);
    expect(durations.counts).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    expect(durations.sumMs).toBeCloseTo(120_003.1);
  });
});
