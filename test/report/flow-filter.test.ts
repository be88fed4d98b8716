import assert from "node:assert/strict";
import { test } from "node:test";
import type { Flow } from "../../src/model/flow.ts";
import { type FlowFilter, flowMatches, parsePeerTest } from "../../src/report/flow-filter.ts";
import { ledger, refused, scraper, world } from "./flow-examples.ts";

test("an end is asked for by pod, address, CIDR, cluster or label", () => {
  const hits = (text: string) => {
    const matches = parsePeerTest(text);
    assert(matches, text);
    return [scraper, ledger, world].filter(matches).map(({ identity }) => identity);
  };
  for (const [text, expected] of [
    ["demo/scraper", [65_540]],
    ["amsterdam/demo/scraper", [65_540]],
    ["osaka/demo/scraper", []],
    ["demo/scrape", []],
    ["10.2.1.10", [131_073]],
    ["2001:DB8:0::1", [10]],
    ["10.0.0.0/8", [65_540, 131_073]],
    ["10.2.0.0/16", [131_073]],
    ["2001:db8::/32", [10]],
    ["cluster:osaka", [131_073]],
    ["app=scraper", [65_540]],
    ["k8s:app=scraper", [65_540]],
    ["any:app=scraper", []],
    ["app.kubernetes.io/name=ledger", [131_073]],
    ["name=ledger", []],
    ["reserved:world-ipv6", [10]],
  ] as const) {
    assert.deepEqual(hits(text), expected, text);
  }
});

test("what is none of these is refused rather than matched with nothing", () => {
  for (const text of ["", "scraper", "10.0.0.1/8", "a/b/c/d", "/b", "10.0.0.0/33", "cluster:"]) {
    assert.equal(parsePeerTest(text), undefined, text);
  }
});

test("all that is asked for must hold", () => {
  const matches = (filter: FlowFilter, flow: Flow = refused) => flowMatches(filter, flow);
  assert(matches({}));
  const fitting: FlowFilter = {
    verdict: "dropped",
    reason: "policy-denied",
    from: ({ cluster }) => cluster === "amsterdam",
    to: ({ cluster }) => cluster === "osaka",
    port: 8080,
    protocol: "tcp",
    node: "osaka-1",
    cluster: "osaka",
  };
  assert(matches(fitting));
  const misfits: FlowFilter = {
    verdict: "allowed",
    reason: "malformed",
    from: ({ cluster }) => cluster === "osaka",
    to: ({ cluster }) => cluster === "amsterdam",
    port: 41_234,
    protocol: "UDP",
    node: "osaka-2",
    cluster: "amsterdam",
  };
  for (const name of Object.keys(misfits) as (keyof FlowFilter)[]) {
    assert(!matches({ ...fitting, [name]: misfits[name] }), name);
  }
});
