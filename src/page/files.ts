/** What a browser loads: our own files, and uPlot from its package. No build: types are blanked out when the program starts. */
import { readFileSync } from "node:fs";
import { withoutTypes } from "../runtime/strip.ts";
import type { StaticFile } from "../serve/routes.ts";

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";
const ICON = "image/svg+xml";

/** Below src/, which is where a browser finds them too: so that they may import each other as they do here. */
const SCRIPTS: readonly string[] = [
  ...["page", "elements", "map", "pairs", "charts", "services", "rows"].map((name) => `page/browser/${name}.ts`),
  "report/text.ts",
];

const own = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

function uPlot(name: string): string {
  return readFileSync(new URL(name, import.meta.resolve("uplot")), "utf8");
}

/** Path -> file. Throws when one is missing: the installation is broken. */
export function pageFiles(): ReadonlyMap<string, StaticFile> {
  const file = (path: string, type: string): readonly [string, StaticFile] => [`/${path}`, { type, body: own(path) }];
  return new Map<string, StaticFile>([
    ["/", { type: HTML, body: own("page/browser/page.html") }],
    file("page/browser/page.css", STYLE),
    file("page/browser/icon.svg", ICON),
    ["/page/uplot.css", { type: STYLE, body: uPlot("uPlot.min.css") }],
    ["/page/uplot.js", { type: SCRIPT, body: uPlot("uPlot.iife.min.js") }],
    ...SCRIPTS.map((path) => [`/${path}`, { type: SCRIPT, body: withoutTypes(own(path)) }] as const),
  ]);
}
