/** A plot of ratios as SVG: bars to both sides of 1, on a logarithmic scale. It can be read on light and dark pages. */

export interface Bar {
  readonly label: string;
  /** Above 1 is better. */
  readonly ratio: number;
  /** Which of the series it belongs to. */
  readonly series: number;
}

const ROW = 22;
const LABELS = 380;
const PLOT = 360;
const RIGHT = 60;
const TOP = 64;
const LEAST = 0.05;
const MOST = 20;
const TICKS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20];
/** Of middling lightness, so that both white and black are far from them. */
const COLOURS = ["#2f81f7", "#d4782a"];
const TEXT = "#7a828c";

/** @param series what the bars compare with, at most two */
export function plot(title: string, series: readonly string[], bars: readonly Bar[]): string {
  const height = TOP + bars.length * ROW + 16;
  const width = LABELS + PLOT + RIGHT;
  const lines = TICKS.map((tick) => {
    const strong = tick === 1 ? ' stroke-width="2"' : ' stroke-dasharray="2 3"';
    return `<line x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 6}" y2="${height - 12}" stroke="${TEXT}"${strong} opacity="0.6"/>${label(x(tick), TOP - 12, String(tick), "middle")}`;
  });
  const legend = series.map(
    (name, index) =>
      `<rect x="${LABELS + index * 200}" y="26" width="10" height="10" fill="${COLOURS[index]}"/>${label(LABELS + 16 + index * 200, 35, name)}`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${escaped(title)}">`,
    label(4, 16, title),
    ...legend,
    ...lines,
    ...bars.map(bar),
    "</svg>\n",
  ].join("\n");
}

function bar({ label: name, ratio, series }: Bar, index: number): string {
  const y = TOP + index * ROW;
  const [from, to] = ratio < 1 ? [x(ratio), x(1)] : [x(1), x(ratio)];
  const colour = COLOURS[series] ?? TEXT;
  const text = ratio < 1 ? label(from - 4, y + 12, told(ratio), "end") : label(to + 4, y + 12, told(ratio));
  return `${label(LABELS - 24, y + 12, name, "end")}<rect x="${from}" y="${y + 2}" width="${round(to - from)}" height="13" fill="${colour}"/>${text}`;
}

const x = (ratio: number): number => {
  const inside = Math.min(MOST, Math.max(LEAST, ratio));
  return round(LABELS + (PLOT * Math.log(inside / LEAST)) / Math.log(MOST / LEAST));
};

const round = (value: number): number => Math.round(value * 10) / 10;
const told = (ratio: number): string => ratio.toFixed(ratio < 10 ? 2 : 1);
const label = (at: number, y: number, text: string, anchor = "start"): string =>
  `<text x="${at}" y="${y}" text-anchor="${anchor}" fill="${TEXT}">${escaped(text)}</text>`;
const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
