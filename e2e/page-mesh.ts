/** The status page in a real browser, on a whole mesh whose parts are killed. */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { command, inNetns } from "../deploy/lab/command.ts";
import { etcdctl } from "../deploy/lab/etcd.ts";
import { Lab } from "../deploy/lab/lab.ts";
import { clusterPlan, etcdNode, type LabPlan } from "../deploy/lab/plan.ts";
import { etcdId, mirrorId, startProgram } from "../deploy/lab/programs.ts";
import { HOSTILE } from "../test/page/stage.ts";
import { Chromium, type Page } from "./chromium.ts";
import { assertHarmless, inBrowser, pairRow, photograph, reason, textOf } from "./page-looks.ts";

let lab: LabPlan;
let browser: Chromium;
let page: Page;
let printed = "";

/**
 * Registers the tests, on a mesh that is up. They are the last of theirs: osaka's etcd stays dead.
 * @param mesh its plan, and what `up` printed
 */
export function pageOnMesh(mesh: () => { readonly lab: LabPlan; readonly out: string }): void {
  before(async () => {
    if (reason !== undefined) return;
    const { out } = mesh();
    lab = mesh().lab;
    printed = /the status page +(http:\/\/127\.0\.0\.1:\d+\/)/.exec(out)?.[1] ?? "";
    // In a namespace that has no way out: whatever a browser does by itself stays there.
    browser = Chromium.start(etcdNode(clusterPlan(lab, "amsterdam")).netns);
    page = await browser.open("http://127.0.0.1:9889/", { width: 1280, theme: "light" });
  });
  after(() => browser?.end());
  inBrowser("the address that `npm run mesh -- up` prints is the page, from the machine's own network", addressIsPage);
  inBrowser("a mesh that is well: every cluster, pair, service, program and age", meshIsWell);
  inBrowser(
    "osaka's etcd says what is no service, and is killed: refused as text, breaker open, its copy grows old",
    etcdIsKilled,
  );
  inBrowser("a kvstoremesh that is killed is missed by its page, and back by itself", mirrorIsKilled);
}

async function addressIsPage(): Promise<void> {
  assert.match(await (await fetch(printed)).text(), /<title>Bulkhead<\/title>/);
  assert.equal((await fetch(`${printed}v1/status`)).status, 200);
  const inside = await command(
    inNetns(etcdNode(clusterPlan(lab, "amsterdam")).netns, ["curl", "-s", "http://127.0.0.1:9889/"]),
  );
  assert.equal(inside, await (await fetch(printed)).text());
}

async function meshIsWell(): Promise<void> {
  await page.until("it is told", `${textOf("#live")}.includes("live")`);
  await page.until("all copies are fresh", `${textOf("#summary")}.includes("6 copies fresh")`);
  for (const from of ["amsterdam", "osaka", "virginia"]) {
    for (const to of ["amsterdam", "osaka", "virginia"].filter((name) => name !== from)) {
      const row = await page.evaluate<string>(pairRow(`${to} in ${from}`));
      assert.match(
        row,
        /fresh[\s\S]*watching[\s\S]*\d(\.\d)? m?s[\s\S]*keys[\s\S]*closed[\s\S]*(alive|unknown)/,
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
  // Exporter, kvstoremesh, drilld and two agents of each cluster.
  assert.equal(programs.match(/\bwell\b/g)?.length, 3 * 5, programs);
  await page.until("events of the start are told", 'document.querySelectorAll("#events-list tbody tr").length > 5');
  await assertHarmless(page);
}

async function etcdIsKilled(): Promise<void> {
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
}

async function mirrorIsKilled(): Promise<void> {
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
}
