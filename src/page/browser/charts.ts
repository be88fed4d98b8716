/** Four charts (uPlot), of what was heard since the page was opened. Lines differ by dashes as well as by colour. */
import type UPlot from "uplot";
import type { PageState } from "../../report/page.ts";
import { nothing, part } from "./elements.ts";

/** What the script beside this module brings. */
declare const uPlot: typeof UPlot;

/** Half an hour at the usual interval. */
const MOST_POINTS = 900;
const HEIGHT = 190;
const LANE_HEIGHT = 30;
const TIME_AXIS_HEIGHT = 30;
const COLOURS = 6;
const BREAKERS: readonly string[] = ["closed", "half-open", "open"];
/** Of a lane's height, from closed to open. */
const STEP = 0.36;

type Values = (number | null)[];

/** Lines that grow together: one value each for every moment, none where nothing was known. */
class History {
  readonly seconds: number[] = [];
  readonly lines = new Map<string, Values>();

  add(atSeconds: number, values: ReadonlyMap<string, number>): void {
    if (atSeconds <= (this.seconds.at(-1) ?? 0)) return;
    for (const name of values.keys()) {
      if (!this.lines.has(name)) this.lines.set(name, new Array<null>(this.seconds.length).fill(null));
    }
    this.seconds.push(atSeconds);
    for (const [name, line] of this.lines) line.push(values.get(name) ?? null);
    if (this.seconds.length <= MOST_POINTS) return;
    this.seconds.shift();
    for (const line of this.lines.values()) line.shift();
  }
}

const canvas = document.createElement("span");

/** A colour of page.css as the canvas takes it, which knows neither variables nor themes. */
function colour(name: string): string {
  canvas.style.color = `var(--${name})`;
  if (!canvas.isConnected) document.body.append(canvas);
  canvas.hidden = true;
  return getComputedStyle(canvas).color;
}

const lineColour = (index: number): string => colour(`line-${(index % COLOURS) + 1}`);
const dashes = (index: number): number[] => [[], [7, 4], [2, 3], [10, 3, 2, 3]][Math.floor(index / 2) % 4] ?? [];

const font = (): string => `11px ${getComputedStyle(document.body).fontFamily}`;

function axis(more: UPlot.Axis): UPlot.Axis {
  const grid = { stroke: colour("rule"), width: 1 };
  return { stroke: colour("ink-2"), font: font(), grid, ticks: { ...grid, size: 4 }, ...more };
}

const hours: UPlot.Axis["values"] = (_, seconds) =>
  seconds.map((at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour12: false }));

const timeAxis = (): UPlot.Axis => axis({ values: hours, space: 80, size: TIME_AXIS_HEIGHT });

type ChartOptions = Omit<UPlot.Options, "width" | "height"> & { readonly height?: number };

/** One chart on the page: made anew when its lines, the theme or the place change, else only given the values. */
class Chart {
  readonly #into: HTMLElement;
  readonly #options: () => ChartOptions;
  #made: UPlot | undefined;
  #look = "";

  constructor(id: string, options: () => ChartOptions) {
    this.#into = part(id);
    this.#options = options;
    new ResizeObserver(() => {
      if (this.#made !== undefined) this.#made.setSize({ width: this.#width(), height: this.#made.height });
    }).observe(this.#into);
  }

  /** @param look of what the chart is made; another look is another chart. */
  show(data: UPlot.AlignedData, look: string): void {
    const newest = (chart: UPlot): void => {
      // While nobody points at a moment, the legend has the newest values.
      if (chart.cursor.idx == null) chart.setLegend({ idx: chart.data[0].length - 1 });
    };
    if (this.#made !== undefined && look === this.#look) {
      this.#made.setData(data);
      newest(this.#made);
      return;
    }
    this.#made?.destroy();
    this.#into.replaceChildren();
    this.#look = look;
    const options = { width: this.#width(), height: HEIGHT, hooks: { ready: [newest] }, ...this.#options() };
    this.#made = new uPlot(options, data, this.#into);
  }

  clear(line: string): void {
    this.#made?.destroy();
    this.#made = undefined;
    this.#into.replaceChildren(nothing(line));
  }

  #width(): number {
    return Math.max(120, this.#into.clientWidth);
  }
}

export class Charts {
  readonly #ages = new History();
  readonly #breakers = new History();
  readonly #lags = new History();
  #state: PageState | undefined;
  readonly #age = new Chart("chart-age", () => lineOptions([...this.#ages.lines.keys()]));
  readonly #breaker = new Chart("chart-breakers", () => laneOptions([...this.#breakers.lines.keys()]));
  readonly #lag = new Chart("chart-lag", () => lineOptions([...this.#lags.lines.keys()]));
  readonly #events = new Chart("chart-events", barOptions);

  add(state: PageState): void {
    this.#state = state;
    const seconds = state.wallMs / 1000;
    const [ages, breakers, lags] = [new Map<string, number>(), new Map<string, number>(), new Map<string, number>()];
    for (const { from, to, mirror } of state.pairs) {
      if (mirror?.ageMs !== undefined) ages.set(`${to} in ${from}`, mirror.ageMs / 1000);
      if (mirror !== undefined) breakers.set(`${to} in ${from}`, BREAKERS.indexOf(mirror.breaker));
    }
    for (const { name, lagMs } of state.clusters) if (lagMs !== undefined) lags.set(name, lagMs / 1000);
    this.#ages.add(seconds, ages);
    this.#breakers.add(seconds, breakers);
    this.#lags.add(seconds, lags);
    this.draw();
  }

  /** @param theme another one is another look. */
  draw(theme = document.documentElement.dataset["theme"] ?? ""): void {
    if (this.#state === undefined) return;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const narrow = innerWidth < NARROW;
    const look = (lines: Iterable<string>): string => JSON.stringify([theme, dark, narrow, ...lines]);
    const show = (chart: Chart, { seconds, lines }: History, none: string): void => {
      if (lines.size === 0) chart.clear(none);
      else chart.show([seconds, ...lines.values()], look(lines.keys()));
    };
    show(this.#age, this.#ages, "No copy was proven yet.");
    show(this.#lag, this.#lags, "No node answers here.");
    if (this.#breakers.lines.size === 0) this.#breaker.clear("No mirror answers here.");
    else this.#breaker.show(laneData(this.#breakers), look(this.#breakers.lines.keys()));
    const { source, rate } = this.#state.events;
    const first = rate.endMs - rate.counts.length * rate.stepMs;
    const middles = rate.counts.map((_, at) => (first + (at + 0.5) * rate.stepMs) / 1000);
    if (source === "none") this.#events.clear("No NATS configured: events are told to nobody.");
    else this.#events.show([middles, [...rate.counts]], look(["events"]));
  }
}

const NARROW = 640;

function lineOptions(names: readonly string[]): ChartOptions {
  const series = names.map((label, at): UPlot.Series => {
    const value = (_: UPlot, seconds: number | null): string => (seconds === null ? "–" : `${seconds.toFixed(1)} s`);
    return { label, stroke: lineColour(at), width: 1.75, dash: dashes(at), points: { show: false }, value };
  });
  return {
    scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } },
    axes: [timeAxis(), axis({ size: 44 })],
    series: [{ label: "at", value: "{HH}:{mm}:{ss}" }, ...series],
    cursor: { y: false, drag: { x: false, y: false } },
    legend: { markers: { dash: (_, at) => (dashes(at - 1).length > 0 ? "dashed" : "solid") } },
  };
}

/** A lane each, the first on top: within it the line steps up as the breaker opens. */
function laneData({ seconds, lines }: History): UPlot.AlignedData {
  const lanes = [...lines.values()].map((line, lane) => {
    const floor = lines.size - 1 - lane;
    return line.map((state) => (state === null || state < 0 ? null : floor + 0.1 + state * STEP));
  });
  return [seconds, ...lanes];
}

function laneOptions(names: readonly string[]): ChartOptions {
  const narrow = innerWidth < NARROW;
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const series = names.map((label, at): UPlot.Series => {
    const floor = names.length - 1 - at;
    const fill = { fill: colour("lane-open"), fillTo: floor + 0.1 };
    return {
      ...{ label, stroke: colour("ink-2"), width: 1.5, points: { show: false }, ...fill },
      ...(stepped && { paths: stepped }),
    };
  });
  const lanes = names.map((_, at) => at);
  return {
    scales: { y: { range: () => [0, names.length] } },
    axes: [
      timeAxis(),
      axis({
        size: narrow ? 132 : 140,
        splits: () => lanes.map((lane) => lane + 0.4),
        values: () => lanes.map((lane) => names[names.length - 1 - lane] ?? ""),
        ticks: { show: false },
        grid: { show: false },
      }),
    ],
    series: [{}, ...series],
    legend: { show: false },
    cursor: { show: false },
    height: Math.max(HEIGHT, names.length * LANE_HEIGHT + TIME_AXIS_HEIGHT),
  };
}

function barOptions(): ChartOptions {
  const bars = uPlot.paths.bars?.({ size: [0.8, 14], align: 0 });
  const series: UPlot.Series = {
    label: "events",
    stroke: lineColour(0),
    fill: colour("lane"),
    points: { show: false },
  };
  return {
    scales: { y: { range: (_, __, most) => [0, Math.max(4, most * 1.1)] } },
    axes: [timeAxis(), axis({ size: 44 })],
    series: [
      { label: "at", value: "{HH}:{mm}:{ss}" },
      { ...series, ...(bars && { paths: bars }) },
    ],
    cursor: { y: false, drag: { x: false, y: false } },
  };
}
