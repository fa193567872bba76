/** Lines over the last minutes. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Sample } from "./api.ts";
import { h, setText } from "./dom.ts";

export interface Line {
  readonly label: string;
  /** Which of the page's colours, from 1 to 4. */
  readonly colour: number;
  /** The value between a sample and the one before it. */
  readonly value: (now: Sample, before: Sample) => number;
}

const HEIGHT = 140;
/** Of the texts below, in pixels. */
const TIMES_HEIGHT = 24;

/** How far apart the lines of a grid are, at least one and always whole; for bytes in powers of two. */
export const COUNTS = [0, 1, 2, 3, 4, 5, 6].flatMap((zeros) => [1, 2, 5].map((one) => one * 10 ** zeros));
export const BYTES = Array.from({ length: 30 }, (_, power) => 1024 * 2 ** power);

const isMinute = (seconds: number): boolean => seconds % 60 === 0;

export class Chart {
  readonly element: HTMLElement;
  readonly #lines: readonly Line[];
  readonly #shown: (value: number) => string;
  readonly #place = h("div", { class: "plot" });
  readonly #now = h("p", { class: "latest" });
  readonly #steps: readonly number[] | undefined;
  readonly #values: readonly HTMLElement[];
  readonly #watch: ResizeObserver;
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  #plot: uPlot | undefined;
  #data: uPlot.AlignedData = [[]];

  /** @param steps how far apart the lines of the grid may be; undefined: anything */
  constructor(title: string, lines: readonly Line[], shown: (value: number) => string, steps?: readonly number[]) {
    this.#lines = lines;
    this.#shown = shown;
    this.#steps = steps;
    this.#values = lines.map(() => h("span"));
    this.#now.append(
      ...lines.map(({ label, colour }, at) =>
        h("span", { class: "key" }, h("span", { class: `line c${colour}` }), `${label} `, this.#values[at]),
      ),
    );
    // the picture tells nothing to who does not see it: the text beside it has the latest values
    this.#place.setAttribute("aria-hidden", "true");
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, title), this.#now, this.#place);
    this.#watch = new ResizeObserver(() => this.#resize());
    this.#watch.observe(this.#place);
    this.#dark.addEventListener("change", this.redraw);
  }

  show(samples: readonly Sample[]): void {
    const pairs = samples.slice(1).map((now, at) => [now, samples[at] as Sample] as const);
    const values = this.#lines.map(({ value }) => pairs.map(([now, before]) => value(now, before)));
    this.#data = [pairs.map(([{ at }]) => at / 1000), ...values];
    for (const [at, value] of this.#values.entries()) setText(value, this.#shown(values[at]?.at(-1) ?? 0));
    if (this.#plot) this.#plot.setData(this.#data);
    else this.redraw();
  }

  close(): void {
    this.#watch.disconnect();
    this.#dark.removeEventListener("change", this.redraw);
    this.#plot?.destroy();
  }

  /** Draws all anew, for example in other colours. */
  readonly redraw = (): void => {
    this.#plot?.destroy();
    this.#plot = undefined;
    const width = this.#place.clientWidth;
    if (width === 0) return;
    const style = getComputedStyle(this.#place);
    const axis = {
      stroke: style.getPropertyValue("--soft"),
      grid: { stroke: style.getPropertyValue("--line"), width: 1 },
      ticks: { show: false },
    };
    this.#plot = new uPlot(
      {
        ...{ width, height: HEIGHT, title: "" },
        legend: { show: false },
        cursor: { show: false },
        scales: { y: { range: (_plot, _min, max) => [0, Math.max(max * 1.1, 1)] } },
        axes: [
          {
            ...axis,
            // minutes alone, unless there are several lines within one
            values: (_plot, seconds) =>
              seconds.map((at) =>
                new Date(at * 1000).toLocaleTimeString("en-GB").slice(0, seconds.every(isMinute) ? 5 : 8),
              ),
            space: 80,
            size: TIMES_HEIGHT,
          },
          {
            ...axis,
            values: (_plot, values) => values.map(this.#shown),
            size: 64,
            ...(this.#steps && { incrs: [...this.#steps] }),
          },
        ],
        series: [
          {},
          ...this.#lines.map(({ label, colour }) => ({
            label,
            stroke: style.getPropertyValue(`--c${colour}`),
            width: 2,
            points: { show: false },
          })),
        ],
      },
      this.#data,
      this.#place,
    );
  };

  #resize(): void {
    const width = this.#place.clientWidth;
    if (!this.#plot) this.redraw();
    else if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }
}
