/** Elements, their text, and the few shapes and words that the whole page uses. Text of others becomes text nodes and nothing else. */
import { safeText } from "../../report/text.ts";

export type Child = Node | string | undefined;
type Attributes = Readonly<Record<string, string>>;

/** A string among `children` is shown as it is, control characters made visible. */
function filled<E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const child of children) {
    if (child !== undefined) element.append(typeof child === "string" ? safeText(child) : child);
  }
  return element;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

export function shape<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** The element of page.html with this id. */
export function part<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`page.html has no #${id}`);
  return found as E;
}

/** Draws only what changed, so that what a person reads, selects or has opened stays. */
const drawn = new WeakMap<Element, string>();

export function draw(into: HTMLElement, data: unknown, children: () => readonly Child[]): void {
  const text = JSON.stringify(data);
  if (drawn.get(into) === text) return;
  drawn.set(into, text);
  into.replaceChildren();
  filled(into, {}, children());
}

/** How good something is; each has a shape of its own. */
export type Tone = "good" | "warning" | "bad" | "unknown";

const OUTLINES: Readonly<Record<Tone, string>> = {
  good: "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1z",
  warning: "M6 .8 11.6 11H.4z",
  bad: "M1.2 1.2h9.6v9.6H1.2z",
  unknown: "M6 1.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4z",
};

/** 12 by 12. */
export function outline(tone: Tone): SVGPathElement {
  return shape("path", { d: OUTLINES[tone], class: `mark ${tone}` });
}

function mark(tone: Tone): SVGSVGElement {
  return shape("svg", { viewBox: "0 0 12 12", width: "12", height: "12", "aria-hidden": "true" }, outline(tone));
}

/** A shape and a word. */
export function badge(tone: Tone, word: string): HTMLElement {
  return element("span", { class: "badge" }, mark(tone), element("span", {}, word));
}

const TONES: Readonly<Record<string, Tone>> = {
  fresh: "good",
  suspect: "warning",
  stale: "bad",
  closed: "good",
  "half-open": "warning",
  open: "bad",
  well: "good",
  idle: "unknown",
  behind: "warning",
  silent: "bad",
  alive: "good",
  dead: "bad",
  info: "good",
  warning: "warning",
  error: "bad",
};

/** Of a grade, a breaker, a program's state or a severity; what is no such word is not known. */
export function toneOf(word: string): Tone {
  return TONES[word] ?? "unknown";
}

export type Cell = Child | readonly Child[];

/** A table whose rows become cards on a narrow screen: each cell knows the name of its column. */
export function table(caption: string, columns: readonly string[], rows: readonly (readonly Cell[])[]): HTMLElement {
  const cells = (row: readonly Cell[]): readonly HTMLElement[] =>
    row.map((cell, at) => {
      const children = Array.isArray(cell) ? (cell as readonly Child[]) : [cell as Child];
      return element("td", { "data-column": columns[at] ?? "" }, ...children);
    });
  const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, column)));
  return element(
    "table",
    {},
    element("caption", { class: "unseen" }, caption),
    element("thead", {}, head),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row)))),
  );
}

export function nothing(line: string): HTMLElement {
  return element("p", { class: "nothing" }, line);
}

/** Of a table that is longer than what was sent. */
export function more(shown: number, total: number, how: string): HTMLElement | undefined {
  return total > shown ? element("p", { class: "hint" }, `${total - shown} more: ${how}`) : undefined;
}

/** The time of day at which something was told. */
export function timeOf(rfc3339: string): HTMLElement {
  const at = new Date(rfc3339);
  const text = Number.isNaN(at.getTime()) ? rfc3339 : at.toLocaleTimeString(undefined, { hour12: false });
  return element("time", { datetime: rfc3339, title: rfc3339 }, text);
}
