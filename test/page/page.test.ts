import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { type Listener, PageFeed } from "../../src/page/feed.ts";
import { pageFiles } from "../../src/page/files.ts";
import type { PageState } from "../../src/report/page.ts";
import type { PageServices } from "../../src/report/page-services.ts";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { HOSTILE, PageStage } from "./stage.ts";

let stage: PageStage;
before(async () => {
  stage = await PageStage.start();
});
after(() => stage.end());

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/** Waits until it holds. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = systemClock.nowMs() + 20_000;
  while (!(await holds())) {
    assert(systemClock.nowMs() < deadlineMs, what);
    await sleep(systemClock, 20);
  }
}

interface Told {
  readonly name: string;
  readonly data: unknown;
}

/** The events of one open page, for as long as they are taken. */
async function* follow(url: string, signal: AbortSignal): AsyncGenerator<Told> {
  const answer = await fetch(`${url}v1/page`, { signal });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  assert.equal(answer.headers.get("content-security-policy"), POLICY);
  let rest = "";
  for await (const bytes of answer.body ?? []) {
    const blocks = `${rest}${Buffer.from(bytes).toString("utf8")}`.split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const [, name = "", data = ""] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? assert.fail(block);
      yield { name, data: JSON.parse(data) };
    }
  }
}

/** What an open page of its own is told until `enough`. */
async function told(enough: (events: readonly Told[]) => boolean, url = stage.url): Promise<readonly Told[]> {
  const stop = new AbortController();
  const events: Told[] = [];
  for await (const event of follow(url, stop.signal)) {
    events.push(event);
    if (enough(events)) break;
  }
  stop.abort();
  return events;
}

test("every file has its type and the policy; what a page may load is what is there", async () => {
  const files = pageFiles();
  for (const [path, { type, body }] of files) {
    const answer = await fetch(new URL(path, stage.url));
    assert.equal(answer.status, 200, path);
    assert.equal(answer.headers.get("content-type"), type, path);
    assert.equal(answer.headers.get("content-security-policy"), POLICY, path);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff", path);
    assert.equal(await answer.text(), body, path);
  }
  const html = files.get("/")?.body ?? "";
  const wanted = [...html.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path = ""]) => path);
  assert(wanted.length > 3);
  for (const path of wanted) assert(files.has(path), path);
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:/i);
  for (const [path, { body }] of files) {
    for (const [, imported = ""] of body.matchAll(/^\s*import .*"(\.[^"]*)";/gm))
      assert(files.has(new URL(imported, `http://x${path}`).pathname), `${path} imports ${imported}`);
  }
});

test("nothing of ours makes markup of text", () => {
  for (const [path, { body, type }] of pageFiles()) {
    if (!type.startsWith("text/javascript") || path === "/page/uplot.js") continue;
    assert.doesNotMatch(body, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(/, path);
  }
});

test("another Host gets nothing of the page, refused under the same policy", async () => {
  const { port } = new URL(stage.url);
  for (const path of ["/", "/page/browser/page.ts", "/v1/page"]) {
    for (const [host, code] of [
      ["mesh.example", 403],
      ["127.0.0.1", 200],
    ] as const) {
      const answer = await new Promise<{ readonly code: number | undefined; readonly policy: unknown }>((resolve) => {
        const asked = request({ host: "127.0.0.1", port, path, headers: { host } }, (response) => {
          resolve({ code: response.statusCode, policy: response.headers["content-security-policy"] });
          response.destroy();
        });
        asked.on("error", () => undefined);
        asked.end();
      });
      assert.deepEqual(answer, { code, policy: POLICY }, `${host} ${path}`);
    }
  }
});

test("an open page is told everything once, then what is new: clusters, pairs, services, events, who is silent", async () => {
  const isRead = ({ name, data }: Told): boolean => name === "state" && (data as PageState).events.recent.length > 5;
  const events = await told((all) => all.some(isRead) && all.filter(({ name }) => name === "state").length > 2);
  assert.deepEqual(events[0]?.name, "services");
  assert.equal(events.filter(({ name }) => name === "services").length, 1, "services did not change");
  const state = events.find(isRead)?.data as PageState;
  assert.deepEqual(
    state.clusters.map(({ name, lagMs }) => [name, lagMs]),
    [
      ["amsterdam", 280],
      ["osaka", 140],
      ["virginia", 280],
    ],
  );
  assert.equal(state.pairs.length, 6);
  const [silent] = state.silent;
  assert.deepEqual([state.silent.length, silent?.socket], [1, "osaka/agent-osaka-2.sock"]);
  assert.equal(state.setAside.total, 2);
  assert.equal(state.setAside.rows[0]?.cluster, "amsterdam");
  assert.deepEqual([state.events.source, state.events.drills.length], ["read", 3]);
  assert.match(state.events.drills[1]?.line ?? "", /^drill kill-remote passed/);
  assert.equal(
    state.events.rate.counts.reduce((sum, count) => sum + count, 0),
    6,
    "each event is in the rate",
  );
  const services = events[0]?.data as PageServices;
  assert.equal(services.total, 63);
  assert(services.rows.some(({ name }) => name === `demo/${HOSTILE}`));
});

test("without NATS the page is told that there is none", async () => {
  const other = await PageStage.start({ nats: false });
  const events = await told((all) => all.length >= 2, other.url);
  await other.end();
  const state = events.find(({ name }) => name === "state")?.data as PageState;
  assert.deepEqual([state.events.source, state.events.recent.length, state.events.drills.length], ["none", 0, 0]);
});

test("one page more than allowed is refused with the limit's name, and counted; when one goes there is room", async () => {
  const stops = Array.from({ length: 3 }, () => new AbortController());
  const open = stops.map(({ signal }) => follow(stage.url, signal));
  for (const page of open) await page.next();
  assert.match(await stage.metrics.text(), /^bulkhead_page_subscribers 3$/m);
  const refused = await fetch(`${stage.url}v1/page`);
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /3 status pages are open already, as many as --page-max-subscribers allows/);
  assert.match(await stage.metrics.text(), /^bulkhead_page_refused_total 1$/m);
  stops[0]?.abort();
  await until("there is room", async () => /^bulkhead_page_subscribers 2$/m.test(await stage.metrics.text()));
  assert.equal((await told((all) => all.length > 0)).length, 1);
  for (const stop of stops) stop.abort();
  for (const page of open) await page.next().catch(() => undefined);
  await until("all are gone", async () => /^bulkhead_page_subscribers 0$/m.test(await stage.metrics.text()));
});

/** A feed whose collecting is the test's. */
function feedOf(maxSubscribers = 2) {
  const clock = new VirtualClock();
  const started: { readonly listener: Listener; stopped: boolean }[] = [];
  const start = (listener: Listener) => {
    const one = { listener, stopped: false };
    started.push(one);
    return {
      stop: () => {
        one.stopped = true;
      },
    };
  };
  const feed = new PageFeed({ start, maxSubscribers, againAfterMs: 100, clock, metrics: new Metrics() });
  return { feed, started, clock };
}

test("nobody is asked anything while no page is open", () => {
  const { feed, started } = feedOf();
  assert.equal(started.length, 0);
  const [one, two] = [new AbortController(), new AbortController()];
  feed.subscribe(one.signal);
  feed.subscribe(two.signal);
  assert.equal(started.length, 1, "one collecting for all");
  one.abort();
  assert.equal(started[0]?.stopped, false);
  two.abort();
  assert.equal(started[0]?.stopped, true);
  feed.subscribe(new AbortController().signal);
  assert.equal(started.length, 2);
});

test("a page that reads slowly is sent the newest, not all that was", async () => {
  const { feed, started } = feedOf();
  const page = feed.subscribe(new AbortController().signal)[Symbol.asyncIterator]();
  const { listener } = started[0] ?? assert.fail();
  listener.frame({ state: "1", services: "a" });
  listener.frame({ state: "2" });
  listener.frame({ state: "3" });
  assert.deepEqual((await page.next()).value, { name: "services", data: "a" });
  assert.deepEqual((await page.next()).value, { name: "state", data: "3" });
  listener.frame({ state: "4" });
  assert.deepEqual((await page.next()).value, { name: "state", data: "4" });
});

test("collecting that fails is told, and begins again; not when the last page has gone meanwhile", async () => {
  const { feed, started, clock } = feedOf();
  const gone = new AbortController();
  const page = feed.subscribe(gone.signal)[Symbol.asyncIterator]();
  started[0]?.listener.failed("out of memory");
  assert.deepEqual((await page.next()).value, { name: "trouble", data: '"out of memory"' });
  await clock.advance(100);
  assert.equal(started.length, 2);
  started[1]?.listener.failed("again");
  gone.abort();
  await clock.advance(1_000);
  assert.equal(started.length, 2);
});
