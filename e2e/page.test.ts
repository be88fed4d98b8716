/**
 * The status page in a real browser: first over made-up programs that have something to say of every kind, hostile text among it, then on a whole
 * mesh whose parts are killed. Screenshots stay in build/screenshots for a person to look at.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { command, inNetns } from "../deploy/lab/command.ts";
import { etcdctl, etcdNode } from "../deploy/lab/etcd.ts";
import { Lab, waitFor } from "../deploy/lab/lab.ts";
import { clusterPlan, type LabPlan } from "../deploy/lab/plan.ts";
import { etcdId, mirrorId, startProgram } from "../deploy/lab/programs.ts";
import { HOSTILE, PageStage } from "../test/page/stage.ts";
import { Chromium, type Look, type Page, whyNoChromium } from "./chromium.ts";
import { mesh, plan, ROOT, traces } from "./mesh.ts";

const NAME = "e2e-page";
const WITHIN_MS = 30_000;
const SHOTS = join(ROOT, "build/screenshots");
const LOOKS: Readonly<Record<string, Look>> = {
  light: { width: 1280, theme: "light" },
  dark: { width: 1280, theme: "dark" },
  narrow: { width: 375, height: 800, theme: "light" },
};

const reason = whyNoChromium();
function inBrowser(name: string, body: () => Promise<void>): void {
  test(name, { skip: reason ?? false }, body);
}

/** Text of what a selector finds, or of nothing. */
const textOf = (selector: string): string => `(document.querySelector(${JSON.stringify(selector)})?.innerText ?? "")`;

/** A row of the table of pairs, as text. */
const pairRow = (copy: string): string =>
  `([...document.querySelectorAll("#pairs tbody tr")].find((row) => row.innerText.startsWith(${JSON.stringify(copy)}))?.innerText ?? "")`;

async function photograph(page: Page, name: string): Promise<void> {
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

const MAP_FITS =
  'document.querySelector("#map-figure svg")?.clientWidth === document.querySelector("#map-figure").clientWidth && document.querySelector("#chart-age canvas")?.clientWidth <= document.querySelector("#chart-age").clientWidth';

/** Nobody else's text became markup, nothing ran, and the browser had nothing to refuse. */
async function assertHarmless(page: Page): Promise<void> {
  assert.equal(await page.evaluate("document.title"), "Bulkhead");
  assert.equal(await page.evaluate('document.querySelectorAll("img, iframe, object, script:not([src])").length'), 0);
  assert.deepEqual(page.faults, []);
}

test("made-up programs", { skip: reason ?? false }, async (t) => {
  const stage = await PageStage.start();
  const browser = Chromium.start();
  t.after(async () => {
    await browser.end();
    await stage.end();
  });
  const page = await browser.open(stage.url, { width: 1280, theme: "light" });
  await page.until("events are shown", `${textOf("#drills-list")}.includes("blackhole")`);

  await t.test("whatever anybody says is text, wherever it is shown", async () => {
    await page.evaluate('document.querySelector("#services-list summary").click()');
    for (const place of ["#services-list", "#holds", "#set-aside", "#drills-list", "#events-list", "#problems"])
      await page.until(place, `${textOf(place)}.includes(${JSON.stringify(HOSTILE)})`);
    assert.match(
      await page.evaluate<string>(pairRow("osaka in amsterdam")),
      /\\u001b\[2J/,
      "an escape is made visible",
    );
    await assertHarmless(page);
  });

  await t.test("the policy holds: the same text as markup makes no script run, and is not even parsed", async () => {
    const html = `(() => { try { document.body.insertAdjacentHTML("beforeend", ${JSON.stringify(HOSTILE)}); return "parsed"; } catch (error) { return error.name; } })()`;
    assert.equal(await page.evaluate(html), "TypeError");
    page.faults.length = 0;
    await assertHarmless(page);
  });

  await t.test("state is told by words and shapes: pairs, breakers, who is silent, holds, drills", async () => {
    assert.match(
      await page.evaluate<string>(pairRow("osaka in amsterdam")),
      /suspect[\s\S]*42\.1 s[\s\S]*open[\s\S]*not probed/,
    );
    assert.match(await page.evaluate<string>(pairRow("virginia in osaka")), /fresh[\s\S]*420 ms[\s\S]*closed/);
    assert.equal(await page.evaluate('document.querySelectorAll("#map-figure .way").length'), 6);
    assert.equal(await page.evaluate('document.querySelectorAll("#pairs td .badge:not(:has(svg))").length'), 0);
    const summary = await page.evaluate<string>(textOf("#summary"));
    for (const words of ["1 program silent", "2 breakers not closed", "2 copies suspect", "4 copies fresh"])
      assert(summary.includes(words), `${words} in ${summary}`);
    assert.match(await page.evaluate<string>(textOf("#holds")), /1210 in 1200 keys/);
    assert.match(
      await page.evaluate<string>(textOf("#drills-list")),
      /failed\s+drill blackhole failed: 12 of 2,400[\s\S]*passed\s+drill kill-remote passed[\s\S]*detect\s+612 ms/,
    );
    assert.equal(await page.evaluate('document.querySelectorAll(".drill").length'), 2, "a run that ended is one card");
    assert.equal(await page.evaluate('document.querySelectorAll(".chart canvas").length'), 4);
    await photograph(page, "page");
  });

  await t.test("everything is reached and done by the keyboard", async () => {
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

  await t.test("a page too many says why; once there is room it goes on by itself", async () => {
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
});

let lab: LabPlan;
let browser: Chromium;
let page: Page;
let printed = "";

before(async () => {
  if (reason !== undefined) return;
  const { code, out, err } = await mesh(NAME, ["up"]);
  assert.equal(code, 0, `${out}${err}`);
  lab = plan(NAME);
  printed = /the status page +(http:\/\/127\.0\.0\.1:\d+\/)/.exec(out)?.[1] ?? "";
  // In a namespace that has no way out: whatever a browser does by itself stays there.
  browser = Chromium.start(etcdNode(clusterPlan(lab, "amsterdam")).netns);
  page = await browser.open("http://127.0.0.1:9889/", { width: 1280, theme: "light" });
});

after(async () => {
  if (reason !== undefined) return;
  await browser?.end();
  assert.equal((await mesh(NAME, ["down"])).code, 0);
  assert.deepEqual(traces(NAME), []);
});

inBrowser("the address that `npm run mesh -- up` prints is the page, from the machine's own network", async () => {
  assert.match(await (await fetch(printed)).text(), /<title>Bulkhead<\/title>/);
  assert.equal((await fetch(`${printed}v1/status`)).status, 200);
  const inside = await command(
    inNetns(etcdNode(clusterPlan(lab, "amsterdam")).netns, ["curl", "-s", "http://127.0.0.1:9889/"]),
  );
  assert.equal(inside, await (await fetch(printed)).text());
});

inBrowser("a mesh that is well: every cluster, pair, service, program and age", async () => {
  await page.until("it is told", `${textOf("#live")}.includes("live")`);
  await page.until("all copies are fresh", `${textOf("#summary")}.includes("6 copies fresh")`);
  for (const from of ["amsterdam", "osaka", "virginia"]) {
    for (const to of ["amsterdam", "osaka", "virginia"].filter((name) => name !== from)) {
      const row = await page.evaluate<string>(pairRow(`${to} in ${from}`));
      assert.match(
        row,
        /fresh[\s\S]*watching[\s\S]*\d(\.\d)? m?s[\s\S]*keys[\s\S]*closed[\s\S]*not probed/,
        `${to} in ${from}: ${row}`,
      );
    }
  }
  await page.evaluate('document.querySelector("#filter").value = "demo/hello"');
  await page.evaluate('document.querySelector("#filter").dispatchEvent(new Event("input"))');
  await page.until("the service is there", `${textOf("#services-list")}.includes("demo/hello")`);
  await page.evaluate('document.querySelector("#services-list summary").click()');
  const services = await page.evaluate<string>(textOf("#services-list"));
  for (const words of ["amsterdam 4", "osaka 4", "virginia 4", "in osaka", "10.2.2.10:8080", "used"])
    assert(services.includes(words), `${words} in ${services}`);
  const programs = await page.evaluate<string>(textOf("#programs-list"));
  assert.equal(programs.match(/\bwell\b/g)?.length, 12, programs);
  await page.until("events of the start are told", `${textOf("#events-list")}.includes("kvstoremesh started")`);
  await assertHarmless(page);
});

inBrowser(
  "osaka's etcd says what is no service, and is killed: refused as text, breaker open, its copy grows old",
  async () => {
    const osaka = clusterPlan(lab, "osaka");
    await etcdctl(osaka, [
      "put",
      `cilium/state/services/v1/osaka/demo/${HOSTILE}`,
      `{"name":"${HOSTILE.replaceAll('"', "'")}"}`,
    ]);
    await page.until("the refused value is shown", `${textOf("#set-aside")}.includes(${JSON.stringify(HOSTILE)})`);
    await Lab.open(lab, "up").kill(etcdId(osaka));
    await page.until("the breaker is open", `/\\b(half-)?open\\b/.test(${pairRow("osaka in amsterdam")})`);
    await page.until("its copy is old", `/suspect|stale/.test(${pairRow("osaka in amsterdam")})`);
    assert.match(await page.evaluate<string>(pairRow("virginia in amsterdam")), /fresh/);
    await page.until("the breaker is told of", `/breaker[\\s\\S]*osaka/.test(${textOf("#events-list")})`);
    await page.until("every page says it", `/breakers? not closed/.test(${textOf("#summary")})`);
    await assertHarmless(page);
    await photograph(page, "mesh");
  },
);

inBrowser("a kvstoremesh that is killed is missed by its page, and back by itself", async () => {
  const amsterdam = clusterPlan(lab, "amsterdam");
  const running = Lab.open(lab, "up");
  await running.kill(mirrorId(amsterdam));
  await page.until("it is missed", `${textOf("#live")}.includes("does not answer")`);
  startProgram(running, amsterdam, mirrorId(amsterdam));
  await page.until("it is back", `${textOf("#live")}.includes("live")`, 60_000);
  // What the browser says of a server that is away is not of interest.
  page.faults.length = 0;
  await page.until("it knows virginia again", `/fresh/.test(${pairRow("virginia in amsterdam")})`, 60_000);
  await assertHarmless(page);
});
