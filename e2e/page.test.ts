/** The status page in a real browser, over made-up programs that have something to say of every kind, hostile text among it. */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { waitFor } from "../deploy/lab/lab.ts";
import { HOSTILE, PageStage } from "../test/page/stage.ts";
import { Chromium, type Page } from "./chromium.ts";
import { assertHarmless, inBrowser, pairRow, photograph, reason, textOf } from "./page-looks.ts";

const WITHIN_MS = 30_000;

let stage: PageStage;
let browser: Chromium;
let page: Page;

before(async () => {
  if (reason !== undefined) return;
  stage = await PageStage.start();
  browser = Chromium.start();
  page = await browser.open(stage.url, { width: 1280, theme: "light" });
  await page.until("events are shown", `${textOf("#drills-list")}.includes("blackhole")`);
});

after(async () => {
  if (reason !== undefined) return;
  await browser?.end();
  await stage?.end();
});

inBrowser("whatever anybody says is text, wherever it is shown", async () => {
  await page.evaluate('document.querySelector("#services-list summary").click()');
  for (const place of ["#services-list", "#holds", "#set-aside", "#drills-list", "#events-list", "#problems"])
    await page.until(place, `${textOf(place)}.includes(${JSON.stringify(HOSTILE)})`);
  assert.match(await page.evaluate<string>(pairRow("osaka in amsterdam")), /\\u001b\[2J/, "an escape is made visible");
  await assertHarmless(page);
});

inBrowser("the policy holds: the same text as markup makes no script run, and is not even parsed", async () => {
  const html = `(() => { try { document.body.insertAdjacentHTML("beforeend", ${JSON.stringify(HOSTILE)}); return "parsed"; } catch (error) { return error.name; } })()`;
  assert.equal(await page.evaluate(html), "TypeError");
  page.faults.length = 0;
  await assertHarmless(page);
});

inBrowser("state is told by words and shapes: pairs, breakers, who is silent, holds, drills", async () => {
  assert.match(
    await page.evaluate<string>(pairRow("osaka in amsterdam")),
    /suspect[\s\S]*42\.1 s[\s\S]*open[\s\S]*alive\s+8 of 8 probes\s+790 of 812 connections\s+22 silent/,
  );
  assert.match(await page.evaluate<string>(pairRow("virginia in osaka")), /fresh[\s\S]*420 ms[\s\S]*closed/);
  assert.equal(await page.evaluate('document.querySelectorAll("#map-figure .way").length'), 6);
  assert.equal(await page.evaluate('document.querySelectorAll("#pairs td .badge:not(:has(svg))").length'), 0);
  const summary = await page.evaluate<string>(textOf("#summary"));
  for (const words of ["1 program silent", "2 breakers not closed", "2 copies suspect", "4 copies fresh"])
    assert(summary.includes(words), `${words} in ${summary}`);
  assert.match(await page.evaluate<string>(textOf("#holds")), /1,210 in 1,200 keys/);
  assert.match(
    await page.evaluate<string>(textOf("#drills-list")),
    /failed\s+drill blackhole failed: 12 of 2,400[\s\S]*passed\s+drill kill-remote passed[\s\S]*detect\s+612 ms/,
  );
  assert.equal(await page.evaluate('document.querySelectorAll(".drill").length'), 2, "a run that ended is one card");
  assert.equal(await page.evaluate('document.querySelectorAll(".chart canvas").length'), 4);
  await photograph(page, "page");
});

inBrowser("everything is reached and done by the keyboard", async () => {
  await page.evaluate("document.activeElement.blur()");
  const active = (): Promise<string> =>
    page.evaluate<string>("document.activeElement.id || document.activeElement.className");
  await page.press("Tab", 9);
  assert.equal(await active(), "skip");
  await page.press("Tab", 9);
  assert.equal(await active(), "theme");
  await page.press("Enter", 13);
  assert.equal(await page.evaluate("document.documentElement.dataset.theme"), "light");
  await page.press("Enter", 13);
  assert.equal(await page.evaluate("document.documentElement.dataset.theme"), "dark");
  assert.equal(await page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(18, 22, 27)");
  await page.evaluate('document.querySelector("#filter").focus()');
  await page.send("Input.insertText", { text: "demo/LEDG" });
  await page.until("only that service is shown", 'document.querySelectorAll("#services-list details").length === 1');
  await page.press("Tab", 9);
  await page.press("Enter", 13);
  await page.until(
    "its backends are shown",
    `${textOf("#services-list")}.includes("its address is claimed by another cluster")`,
  );
});

inBrowser("a page too many says why; once there is room it goes on by itself", async () => {
  await browser.send("Target.closeTarget", { targetId: page.targetId });
  const none = async () => /^bulkhead_page_subscribers 0$/m.test(await stage.metrics.text()) || undefined;
  await waitFor("a page that is closed lets go", WITHIN_MS, none);
  // Not in the browser: there a page that is behind another lets go too.
  const others = Array.from({ length: 3 }, () => new AbortController());
  for (const { signal } of others) assert.equal((await fetch(`${stage.url}v1/page`, { signal })).status, 200);
  const late = await browser.open(stage.url, { width: 1280, theme: "light" });
  await late.until("it is refused", `${textOf("#live")}.includes("--page-max-subscribers")`);
  for (const other of others) other.abort();
  await late.until("it is told", `${textOf("#live")}.includes("live")`);
});
