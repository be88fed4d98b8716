import assert from "node:assert/strict";
import { test } from "node:test";
import { flowText } from "../../src/report/flows.ts";
import { refused, scraper, world } from "./flow-examples.ts";

test("a line tells verdict, reason, both ends with identity and cluster, and where it was judged", () => {
  assert.equal(
    flowText(refused),
    "2026-01-01T00:00:01.500Z dropped policy-denied: amsterdam/demo/scraper 10.1.1.12:41234 (65540 app=scraper)" +
      " -> osaka/demo/ledger 10.2.1.10:8080 (131073 app.kubernetes.io/name=ledger) TCP, ingress of demo/ledger on osaka/osaka-1",
  );
});

test("an allowed flow names its rule; the world has no name but its label", () => {
  const text = flowText({
    ...refused,
    verdict: "allowed",
    reason: "forwarded",
    destination: world,
    rule: "NetworkPolicy/demo/a egress[0] (a.yaml:1)",
  });
  assert.match(text, /Z allowed: amsterdam/);
  assert.match(text, /-> \[2001:db8::1\]:443 \(10 reserved:world-ipv6\) TCP,/);
  assert.match(text, /, by NetworkPolicy\/demo\/a egress\[0\] \(a\.yaml:1\)$/);
});

test("ICMP has a type in place of ports; an identity may be unknown", () => {
  const text = flowText({
    ...refused,
    protocol: "ICMP",
    reason: "identity-unknown",
    source: { ...scraper, identity: 0, labels: [], pod: "", cluster: "" },
    destination: { ...refused.destination, port: 8 },
  });
  assert.match(
    text,
    /dropped identity-unknown: 10\.1\.1\.12 \(identity unknown\) -> osaka\/demo\/ledger 10\.2\.1\.10 /,
  );
  assert.match(text, / ICMP type 8, /);
});

test("a stranger's labels and names cannot steer the terminal", () => {
  const source = { ...scraper, pod: "demo/\u001b[2J", labels: ["k8s:app=\u202e\n"] };
  const text = flowText({ ...refused, source });
  assert.match(text, /demo\/\\u001b\[2J .*app=\\u202e\\u000a/);
  assert(!text.includes("\n"));
});
