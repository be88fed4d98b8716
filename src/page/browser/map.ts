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
const BOW = 34;
const LABEL = { width: 78, height: 34 } as const;
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

function places(count: number, width: number, height: number): readonly Point[] {
  const centre = { x: width / 2, y: height / 2 };
  if (count === 1) return [centre];
  const radius = { x: (width - BOX.width) / 2 - 4, y: (height - BOX.height) / 2 - 4 };
  return Array.from({ length: count }, (_, at) => {
    const turn = -Math.PI / 2 + (2 * Math.PI * at) / count + (count === 2 ? Math.PI / 2 : 0);
    return { x: centre.x + radius.x * Math.cos(turn), y: centre.y + radius.y * Math.sin(turn) };
  });
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
): { readonly drawn: readonly SVGElement[]; readonly top: Point } {
  const [dx, dy] = [target.x - source.x, target.y - source.y];
  const length = Math.hypot(dx, dy) || 1;
  const bend = {
    x: (source.x + target.x) / 2 + (dy / length) * BOW * 2,
    y: (source.y + target.y) / 2 - (dx / length) * BOW * 2,
  };
  const [start, end] = [edgeOf(source, bend), edgeOf(target, bend)];
  const turn = (Math.atan2(end.y - bend.y, end.x - bend.x) * 180) / Math.PI;
  const top = { x: (start.x + 2 * bend.x + end.x) / 4, y: (start.y + 2 * bend.y + end.y) / 4 };
  const line = shape("path", { d: `M${at(start)}Q${at(bend)} ${at(end)}`, class: `way ${tone}` });
  const head = shape("path", {
    d: "M1 0-8-4.5-8 4.5z",
    class: `head ${tone}`,
    transform: `translate(${at(end)}) rotate(${turn.toFixed(1)})`,
  });
  return { drawn: [line, head], top };
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
  const height = clusters.length <= 2 ? 180 : Math.min(400, Math.max(300, width * 0.68));
  const points = places(clusters.length, width, height);
  const where = new Map(clusters.map(({ name }, index) => [name, points[index] as Point]));
  const ways: SVGElement[] = [];
  const labels: SVGElement[] = [];
  for (const pair of pairs) {
    const [source, target] = [where.get(pair.to), where.get(pair.from)];
    if (source === undefined || target === undefined) continue;
    const { drawn, top } = arrow(source, target, toneOf(controlWord(pair)));
    ways.push(...drawn);
    if (clusters.length <= MOST_LABELLED) labels.push(label(pair, top));
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
