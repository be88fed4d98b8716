/** The clusters on a circle, and an arrow for each copy that one keeps of another. One unit is one pixel, on every screen. */
import type { PageCluster, PagePair, PageState } from "../../report/page.ts";
import { duration } from "../../report/text.ts";
import { element, outline, shape, type Tone, toneOf } from "./elements.ts";

interface Point {
  readonly x: number;
  readonly y: number;
}

const BOX = { width: 124, height: 46 } as const;
/** How far two arrows between the same clusters bow apart. */
const BOW = 32;
const LABEL = { width: 86, height: 34 } as const;
/** How far along its arrow a label is: nearer to where the arrow leads, so that it is clear whose it is. */
const LABEL_AT = 0.6;
/** With more clusters there is no room for numbers: the table has them. */
const MOST_LABELLED = 5;

export function controlWord({ mirror, nodes }: PagePair): string {
  return mirror?.grade ?? nodes[0]?.grade ?? "unknown";
}

export function clusterTone({ elsewhere, programs }: PageCluster): Tone {
  if (elsewhere) return "unknown";
  const tones = programs.map(({ state }) => toneOf(state));
  return tones.includes("bad") ? "bad" : tones.includes("warning") ? "warning" : "good";
}

export function clusterWord({ elsewhere, programs }: PageCluster): string {
  if (elsewhere) return "not on this host";
  const silent = programs.filter(({ state }) => state === "silent").length;
  const behind = programs.filter(({ state }) => state === "behind").length;
  if (silent > 0) return `${silent} of ${programs.length} silent`;
  return behind > 0 ? `${behind} of ${programs.length} behind` : `${programs.length} programs well`;
}

/** On a circle, the first on top, stretched to what room there is. */
function places(count: number, width: number, height: number): readonly Point[] {
  if (count === 1) return [{ x: width / 2, y: height / 2 }];
  const turns = Array.from(
    { length: count },
    (_, at) => (2 * Math.PI * at) / count - (count === 2 ? Math.PI : Math.PI / 2),
  );
  const stretched = (values: readonly number[], room: number, box: number): readonly number[] => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const share = (value: number): number => (most - least < 0.01 ? 0.5 : (value - least) / (most - least));
    return values.map((value) => box / 2 + 2 + share(value) * (room - box - 4));
  };
  const xs = stretched(turns.map(Math.cos), width, BOX.width);
  // Below the lowest boxes there may be an arrow between them.
  const ys = stretched(turns.map(Math.sin), height - (count > 2 ? BOW + 14 : 0), BOX.height);
  return xs.map((x, at) => ({ x, y: ys[at] ?? 0 }));
}

/** Where the way from the middle of a box to `towards` leaves it, and a little further. */
function edgeOf(box: Point, towards: Point): Point {
  const [dx, dy] = [towards.x - box.x, towards.y - box.y];
  const reach = Math.min(
    (BOX.width / 2 + 7) / Math.max(Math.abs(dx), 0.01),
    (BOX.height / 2 + 7) / Math.max(Math.abs(dy), 0.01),
  );
  return { x: box.x + dx * reach, y: box.y + dy * reach };
}

const at = ({ x, y }: Point): string => `${x.toFixed(1)} ${y.toFixed(1)}`;

/** Bows to the left of its direction. */
function arrow(
  source: Point,
  target: Point,
  tone: Tone,
): { readonly drawn: readonly SVGElement[]; readonly labelled: Point } {
  const [dx, dy] = [target.x - source.x, target.y - source.y];
  const length = Math.hypot(dx, dy) || 1;
  const bend = {
    x: (source.x + target.x) / 2 + (dy / length) * BOW * 2,
    y: (source.y + target.y) / 2 - (dx / length) * BOW * 2,
  };
  const [start, end] = [edgeOf(source, bend), edgeOf(target, bend)];
  const turn = (Math.atan2(end.y - bend.y, end.x - bend.x) * 180) / Math.PI;
  const on = (from: number, over: number, to: number): number =>
    (1 - LABEL_AT) ** 2 * from + 2 * LABEL_AT * (1 - LABEL_AT) * over + LABEL_AT ** 2 * to;
  const labelled = { x: on(start.x, bend.x, end.x), y: on(start.y, bend.y, end.y) };
  const line = shape("path", { d: `M${at(start)}Q${at(bend)} ${at(end)}`, class: `way ${tone}` });
  const head = shape("path", {
    d: "M1 0-8-4.5-8 4.5z",
    class: `head ${tone}`,
    transform: `translate(${at(end)}) rotate(${turn.toFixed(1)})`,
  });
  return { drawn: [line, head], labelled };
}

function label(pair: PagePair, { x, y }: Point): SVGElement {
  const ageMs = pair.mirror?.ageMs;
  const line = (row: number, tone: Tone, text: string): readonly SVGElement[] => [
    shape("g", { transform: `translate(7 ${6 + row * 13}) scale(.75)` }, outline(tone)),
    shape("text", { x: "20", y: `${14 + row * 13}` }, text),
  ];
  return shape(
    "g",
    { class: "label", transform: `translate(${at({ x: x - LABEL.width / 2, y: y - LABEL.height / 2 })})` },
    shape("rect", { width: `${LABEL.width}`, height: `${LABEL.height}`, rx: "6" }),
    ...line(0, toneOf(controlWord(pair)), ageMs === undefined ? controlWord(pair) : duration(ageMs)),
    ...line(1, toneOf(pair.dataPath.state), pair.dataPath.state),
  );
}

function box(cluster: PageCluster, { x, y }: Point): SVGElement {
  const corner = { x: x - BOX.width / 2, y: y - BOX.height / 2 };
  return shape(
    "g",
    { class: "cluster", transform: `translate(${at(corner)})` },
    shape("rect", { width: `${BOX.width}`, height: `${BOX.height}`, rx: "9" }),
    shape("text", { x: `${BOX.width / 2}`, y: "19", class: "name" }, shortened(cluster.name)),
    shape("g", { transform: "translate(10 27) scale(.8)" }, outline(clusterTone(cluster))),
    shape("text", { x: "25", y: "36", class: "detail" }, clusterWord(cluster)),
  );
}

const shortened = (name: string): string => (name.length > 15 ? `${name.slice(0, 14)}…` : name);

/** @param width of the figure, in pixels. */
export function drawMap({ clusters, pairs }: PageState, width: number): Element {
  const height = clusters.length <= 2 ? 170 : Math.min(420, Math.max(340, width * 0.8));
  const points = places(clusters.length, width, height);
  const where = new Map(clusters.map(({ name }, index) => [name, points[index] as Point]));
  const ways: SVGElement[] = [];
  const labels: SVGElement[] = [];
  for (const pair of pairs) {
    const [source, target] = [where.get(pair.to), where.get(pair.from)];
    if (source === undefined || target === undefined) continue;
    const { drawn, labelled } = arrow(source, target, toneOf(controlWord(pair)));
    ways.push(...drawn);
    if (clusters.length <= MOST_LABELLED) labels.push(label(pair, labelled));
  }
  const boxes = clusters.map((cluster) => box(cluster, where.get(cluster.name) as Point));
  const text = `${clusters.length} clusters, ${pairs.length} copies of one in another; the table has the same in words`;
  const map = shape(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width: `${width}`, height: `${height}`, role: "img", "aria-label": text },
    ...[...ways, ...labels, ...boxes],
  );
  return element("div", { class: "map" }, map);
}
