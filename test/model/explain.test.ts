import assert from "node:assert/strict";
import { test } from "node:test";
import {
  explainQuery,
  formatExplainEnd,
  parseExplainEnd,
  parseExplainPort,
  parseExplainQuery,
} from "../../src/model/explain.ts";

test("an end is a pod, of a named cluster or the given one, or an address", () => {
  const pod = { kind: "pod", cluster: "osaka", namespace: "demo", name: "ledger" } as const;
  assert.deepEqual(parseExplainEnd("osaka/demo/ledger"), pod);
  assert.deepEqual(parseExplainEnd("demo/ledger", "osaka"), pod);
  assert.deepEqual(parseExplainEnd("demo/ledger"), { ...pod, cluster: "" });
  assert.deepEqual(parseExplainEnd("FD00:0::1"), { kind: "address", address: "fd00::1" });
  for (const text of ["", "ledger", "a/b/c/d", "/ledger", "demo/", "10.0.0.1/"]) {
    assert.equal(parseExplainEnd(text), undefined, text);
  }
  assert.equal(formatExplainEnd(pod), "osaka/demo/ledger");
  assert.equal(formatExplainEnd({ ...pod, cluster: "" }), "demo/ledger");
});

test("a port has a protocol, TCP when not said; ICMP has types up to 255", () => {
  assert.deepEqual(parseExplainPort("8080"), { protocol: "TCP", port: 8080 });
  assert.deepEqual(parseExplainPort("53/udp"), { protocol: "UDP", port: 53 });
  assert.deepEqual(parseExplainPort("128/icmpv6"), { protocol: "ICMPv6", port: 128 });
  for (const text of ["", "http", "65536", "-1", "80/TLS", "256/icmp", "80/TCP/x", "1e3", " 80"]) {
    assert.equal(parseExplainPort(text), undefined, text);
  }
});

test("a question survives its query; a pod without cluster is the answering agent's", () => {
  const port = { protocol: "SCTP", port: 0 } as const;
  const from = { kind: "pod", cluster: "", namespace: "demo", name: "a" } as const;
  const to = { kind: "address", address: "10.2.1.10" } as const;
  const query = new Map(Object.entries(explainQuery({ from, to, port })));
  assert.deepEqual(parseExplainQuery(query, "osaka"), { from: { ...from, cluster: "osaka" }, to, port });
  for (const name of query.keys()) {
    const missing = new Map(query);
    missing.delete(name);
    assert.equal(parseExplainQuery(missing, "osaka"), undefined, `without ${name}`);
  }
});
