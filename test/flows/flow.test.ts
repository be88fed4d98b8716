import assert from "node:assert/strict";
import { test } from "node:test";
import { nameFlow, unknownAddress } from "../../src/flows/flow.ts";
import type { FlowEvent } from "../../src/maps/flow-map.ts";
import { DROP_REASONS } from "../../src/model/flow.ts";
import { bytesOf, names, refused } from "./stage.ts";

const place = { cluster: "osaka", node: "osaka-1" };
const named = (event: FlowEvent) => nameFlow(event, 1_767_225_600_123, place, names);

test("a record becomes a flow with both ends, their identities and clusters", () => {
  assert.deepEqual(named(refused()), {
    time: "2026-01-01T00:00:00.123Z",
    kind: "dropped",
    node: "osaka-1",
    cluster: "osaka",
    direction: "ingress",
    endpoint: "demo/ledger",
    protocol: "TCP",
    source: {
      address: "10.1.1.12",
      port: 41_234,
      identity: 65_540,
      labels: ["k8s:app=scraper", "k8s:io.cilium.k8s.policy.cluster=amsterdam"],
      cluster: "amsterdam",
      pod: "demo/scraper",
    },
    destination: {
      address: "10.2.1.10",
      port: 8080,
      identity: 131_073,
      labels: ["k8s:app=ledger", "k8s:io.cilium.k8s.policy.cluster=osaka"],
      cluster: "osaka",
      pod: "demo/ledger",
    },
    verdict: "dropped",
    reason: "policy-denied",
    bytes: 74,
  });
});

test("the rule that decided is named; one that is not known keeps its number", () => {
  assert.match(named(refused({ rule: 99 })).rule ?? "", /ingress\[0\] \(ledger\.yaml:3\)$/);
  assert.equal(named(refused({ rule: 98 })).rule, "rule 98, whose policy is not known now");
  assert(!("rule" in named(refused())), "without a rule there is no field");
});

test("what has no name is still told apart", () => {
  const flow = named(
    refused({ sourceIdentity: 0, flow: { ...refused().flow, source: bytesOf("fd00::9"), ifindex: 8, protocol: 47 } }),
  );
  assert.equal(flow.endpoint, "device 8");
  assert.equal(flow.protocol, "47");
  assert.deepEqual(flow.source, {
    address: "fd00::9",
    port: 41_234,
    identity: 0,
    labels: [],
    cluster: "",
    pod: "",
  });
});

test("the address without identity is the far end, seen from the endpoint", () => {
  const reason = DROP_REASONS.indexOf("identity-unknown");
  const { flow } = refused();
  assert.equal(unknownAddress(named(refused({ reason }))), "10.1.1.12");
  assert.equal(unknownAddress(named(refused({ reason, flow: { ...flow, direction: 1 } }))), "10.2.1.10");
  assert.equal(unknownAddress(named(refused())), undefined);
});
