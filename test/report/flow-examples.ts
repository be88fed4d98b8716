/** Flows for the tests of what is printed of them. */
import type { Flow, FlowPeer } from "../../src/model/flow.ts";

export const scraper: FlowPeer = {
  address: "10.1.1.12",
  port: 41_234,
  identity: 65_540,
  labels: ["k8s:app=scraper", "k8s:io.cilium.k8s.policy.cluster=amsterdam", "k8s:io.kubernetes.pod.namespace=demo"],
  cluster: "amsterdam",
  pod: "demo/scraper",
};

export const ledger: FlowPeer = {
  address: "10.2.1.10",
  port: 8080,
  identity: 131_073,
  labels: ["k8s:app.kubernetes.io/name=ledger", "k8s:io.cilium.k8s.policy.cluster=osaka"],
  cluster: "osaka",
  pod: "demo/ledger",
};

export const world: FlowPeer = {
  address: "2001:db8::1",
  port: 443,
  identity: 10,
  labels: ["reserved:world-ipv6"],
  cluster: "",
  pod: "",
};

export const refused: Flow = {
  time: "2026-01-01T00:00:01.500Z",
  kind: "dropped",
  node: "osaka-1",
  cluster: "osaka",
  direction: "ingress",
  endpoint: "demo/ledger",
  protocol: "TCP",
  source: scraper,
  destination: ledger,
  verdict: "dropped",
  reason: "policy-denied",
  bytes: 74,
};
