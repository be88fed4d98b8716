/** What the tests of the status page look for, and how. Screenshots stay in build/screenshots for a person to look at. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type Look, type Page, whyNoChromium } from "./chromium.ts";
import { ROOT } from "./mesh.ts";

const SHOTS = join(ROOT, "build/screenshots");
/** How the page is looked at. */
const LOOKS: Readonly<Record<string, Look>> = {
  light: { width: 1280, theme: "light" },
  dark: { width: 1280, theme: "dark" },
  narrow: { width: 375, height: 800, theme: "light" },
};

/** Why no page can be looked at here. */
export const reason = whyNoChromium();

/** A test that is told as not run, with its reason, where there is no browser. */
export function inBrowser(name: string, body: () => Promise<void>): void {
  test(name, { skip: reason ?? false }, body);
}

/** After a change of its width. */
const MAP_FITS =
  'document.querySelector("#map-figure svg")?.clientWidth === document.querySelector("#map-figure").clientWidth && document.querySelector("#chart-age canvas")?.clientWidth <= document.querySelector("#chart-age").clientWidth';

/** Text of what a selector finds, or of nothing. */
export const textOf = (selector: string): string =>
  `(document.querySelector(${JSON.stringify(selector)})?.innerText ?? "")`;

/** A row of the table of pairs, as text. */
export const pairRow = (copy: string): string =>
  `([...document.querySelectorAll("#pairs tbody tr")].find((row) => row.innerText.startsWith(${JSON.stringify(copy)}))?.innerText ?? "")`;

/** In every look; none is wider than its screen. Says where the pictures are. */
export async function photograph(page: Page, name: string): Promise<void> {
  for (const [look, how] of Object.entries(LOOKS)) {
    await page.look(how);
    await page.until("the map has the width of its place", MAP_FITS);
    const overflow = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
    assert(overflow <= 0, `${look}: ${overflow} px wider than the screen`);
    const path = join(SHOTS, `${name}-${look}.png`);
    await page.screenshot(path);
    process.stdout.write(`screenshot: ${path}\n`);
  }
  await page.look({ width: 1280, theme: "light" });
}

/** Nobody else's text became markup, nothing ran, and the browser had nothing to refuse. */
export async function assertHarmless(page: Page): Promise<void> {
  assert.equal(await page.evaluate("document.title"), "Bulkhead");
  assert.equal(await page.evaluate('document.querySelectorAll("img, iframe, object, script:not([src])").length'), 0);
  assert.deepEqual(page.faults, []);
}
