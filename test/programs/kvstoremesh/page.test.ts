import assert from "node:assert/strict";
import { test } from "node:test";
import { firstState } from "../../support/first-state.ts";
import { freePort } from "../../support/free-port.ts";
import { MirrorStage } from "./stage.ts";

test("kvstoremesh serves the page of what it knows itself, and ends while it is open", async (t) => {
  const stage = new MirrorStage(20);
  t.after(() => stage.stop());
  const port = await freePort();
  stage.start({ "api-listen": `127.0.0.1:${port}`, "page-interval-ms": "50" });
  await stage.watching();
  assert.match(await (await fetch(`http://127.0.0.1:${port}/`)).text(), /<title>Bulkhead<\/title>/);
  const open = await fetch(`http://127.0.0.1:${port}/v1/page`);
  assert(open.body);
  const { pairs, events, clusters } = await firstState(open.body);
  assert.deepEqual(
    pairs.map(({ from, to, mirror, nodes }) => [from, to, mirror?.grade, mirror?.breaker, mirror?.entries, nodes]),
    [["amsterdam", "osaka", "fresh", "closed", 23, []]],
  );
  assert.equal(events.source, "none");
  assert.deepEqual(
    clusters.map(({ name, elsewhere }) => [name, elsewhere]),
    [
      ["amsterdam", false],
      ["osaka", true],
    ],
  );
  await stage.stop();
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
});

test("without an API there is no page", async (t) => {
  const stage = new MirrorStage(1);
  t.after(() => stage.stop());
  const port = await freePort();
  stage.start({ listen: `127.0.0.1:${port}` });
  await stage.watching();
  for (const path of ["/", "/v1/page"]) assert.equal((await fetch(`http://127.0.0.1:${port}${path}`)).status, 404);
});
