/** The figures as texts: for Prometheus, and as a section of INFO. */
import type { Metric, Sample } from "./metrics.ts";

export const TEXT_TYPE = "text/plain; charset=utf-8";
export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/ */
export function prometheusText(metrics: readonly Metric[]): string {
  const lines: string[] = [];
  for (const { name, help, type, samples } of metrics) {
    lines.push(`# HELP regears_${name} ${escaped(help)}`, `# TYPE regears_${name} ${type}`);
    for (const { suffix = "", labels, value } of samples)
      lines.push(`regears_${name}${suffix}${labelText(labels)} ${value}`);
  }
  return `${lines.join("\n")}\n`;
}

function labelText(labels: Sample["labels"]): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");

/** Lines of INFO: `name:value`, a label's value behind the name as in `executions_running:1`. */
export function infoLines(metrics: readonly Metric[]): string[] {
  return metrics
    .filter(({ detail }) => !detail)
    .flatMap(({ name, samples }) =>
      samples.map(({ labels, value }) => `${[name, ...Object.values(labels)].join("_")}:${shown(value)}`),
    );
}

const shown = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(3));
