/** The pairs as a table, what it all comes to in a few words, and the meaning of the shapes. */
import type { PagePair, PageState } from "../../report/page.ts";
import { duration } from "../../report/text.ts";
import { badge, type Child, element, type Tone, table, toneOf } from "./elements.ts";
import { controlWord } from "./map.ts";

const COLUMNS = ["Copy", "Control plane", "Age", "Breaker", "Data path", "Nodes heard"];

function heard({ nodes }: PagePair): Child {
  const grades = Map.groupBy(nodes, ({ grade }) => grade);
  const words = [...grades].map(([grade, all]) => (grades.size === 1 ? grade : `${grade} ${all.length}`));
  return words.length === 0 ? "no node answers" : words.join(", ");
}

/** How many probes, and connections of workloads in the last minute, were answered. */
function met({ targets, answered, connections }: PagePair["dataPath"]): readonly Child[] {
  const probes = targets === 0 ? [] : [`${answered} of ${targets} probes`];
  if (connections === undefined || connections.started === 0) return probes.map(small);
  const { started, established, refused, silent } = connections;
  const others = [silent > 0 ? `${silent} silent` : "", refused > 0 ? `${refused} refused` : ""];
  const said = [`${established} of ${count(started, "connection")}`, ...others.filter((line) => line !== "")];
  return [...probes, ...said].map(small);
}

const small = (line: string): Child => element("small", {}, line);

function row(pair: PagePair): readonly (Child | readonly Child[])[] {
  const { from, to, mirror, dataPath } = pair;
  const error = mirror?.lastError;
  const phase = mirror === undefined ? "no mirror answers" : mirror.connected ? mirror.phase : "not connected";
  const keys =
    mirror === undefined ? undefined : small(`${mirror.entries?.toLocaleString() ?? "unknown number of"} keys`);
  return [
    [
      element("span", { class: "whole" }, element("strong", {}, to), ` in ${from}`),
      error === undefined ? undefined : element("span", { class: "error" }, error),
    ],
    [badge(toneOf(controlWord(pair)), controlWord(pair)), element("small", {}, phase)],
    [mirror?.ageMs === undefined ? "never proven" : duration(mirror.ageMs), keys],
    mirror === undefined ? badge("unknown", "unknown") : badge(toneOf(mirror.breaker), mirror.breaker),
    [badge(toneOf(dataPath.state), dataPath.state), ...dataPath.decisions.map(small), ...met(dataPath)],
    heard(pair),
  ];
}

export function pairsTable({ pairs }: PageState): HTMLElement {
  return table("Each copy that a cluster keeps of another", COLUMNS, pairs.map(row));
}

const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`;

/** Worst first where there is something to say. */
export function summary({ clusters, pairs, holds, setAside, problems, silent }: PageState): readonly Child[] {
  const grades = Map.groupBy(pairs, controlWord);
  const open = pairs.filter(({ mirror }) => mirror?.breaker === "open" || mirror?.breaker === "half-open").length;
  const said = (number: number, tone: Tone, text: string): Child =>
    number === 0 ? undefined : element("li", {}, badge(tone, text));
  const bad = [
    said(silent.length, "bad", `${count(silent.length, "program")} silent`),
    said(open, "bad", `${count(open, "breaker")} not closed`),
    ...["stale", "suspect", "unproven", "unknown"].map((grade) => {
      const pairsOfIt = grades.get(grade)?.length ?? 0;
      return said(pairsOfIt, toneOf(grade), `${count(pairsOfIt, "copy", "copies")} ${grade}`);
    }),
    said(holds.total, "warning", `${count(holds.total, "withdrawal")} held`),
    said(setAside.total, "warning", `${count(setAside.total, "value")} refused or parked`),
    said(problems.total, "warning", count(problems.total, "problem")),
  ];
  const fresh = grades.get("fresh")?.length ?? 0;
  return [
    ...bad,
    said(fresh, "good", `${count(fresh, "copy", "copies")} fresh`),
    element("li", {}, count(clusters.length, "cluster")),
  ];
}

const SHAPES: readonly (readonly [Tone, string])[] = [
  ["good", "fresh, closed, well"],
  ["warning", "suspect, half-open, behind"],
  ["bad", "stale, open, silent"],
  ["unknown", "not known, or not probed"],
];

export function legend(): readonly Child[] {
  return SHAPES.map(([tone, words]) => element("li", {}, badge(tone, words)));
}
