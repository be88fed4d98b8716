/** What an API server says of one object: nothing is thrown, and what is refused is so in one printable line, by its name. */
import assert from "node:assert/strict";
import { judgeEvent, KubeReader } from "../../src/wire/kube.ts";
import { CILIUM_KINDS, type KubeKind, NATIVE_KINDS } from "../../src/wire/kube-kinds.ts";
import { podBody } from "../support/kube-objects.ts";
import type { Target } from "./targets.ts";

const LONGEST_LINE = 1_000;
const METADATA = { name: "ledger", namespace: "billing", uid: "u-1", resourceVersion: "77", labels: { app: "ledger" } };

const OBJECTS: Readonly<Record<string, object>> = {
  Pod: { ...podBody("ledger-1", "10.77.3.81"), metadata: METADATA },
  Service: {
    metadata: { ...METADATA, annotations: { "service.cilium.io/global": "true" } },
    spec: {
      clusterIPs: ["10.140.9.3"],
      selector: { app: "ledger" },
      ports: [{ name: "http", port: 80, targetPort: "web" }],
    },
  },
  EndpointSlice: {
    metadata: { ...METADATA, labels: { "kubernetes.io/service-name": "ledger" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.77.3.81"], conditions: { ready: true, serving: true, terminating: false } }],
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  },
  CiliumNetworkPolicy: {
    metadata: METADATA,
    spec: { endpointSelector: { matchLabels: { app: "ledger" } }, ingress: [{ fromEntities: ["cluster"] }] },
  },
  CiliumNode: {
    metadata: METADATA,
    spec: {
      addresses: [{ type: "InternalIP", ip: "192.0.2.14" }],
      ipam: { podCIDRs: ["10.77.3.64/26"] },
      health: { ipv4: "10.77.3.70" },
    },
  },
  CiliumIdentity: {
    metadata: { ...METADATA, name: "460131" },
    "security-labels": { "k8s:app": "ledger", "k8s:io.kubernetes.pod.namespace": "billing" },
  },
  CiliumEndpoint: {
    metadata: METADATA,
    status: {
      identity: { id: 460131, labels: ["k8s:app=ledger"] },
      networking: { addressing: [{ ipv4: "10.77.3.81", ipv6: "fd00::51" }], node: "192.0.2.14" },
      "named-ports": [{ name: "http", port: 8080, protocol: "TCP" }],
    },
  },
};

function check(kind: KubeKind, bytes: Uint8Array): boolean {
  const judged = judgeEvent(kind, bytes);
  if (!judged.ok) {
    assert.match(judged.rejection.detail, /^[ -~]+$/);
    return false;
  }
  if (judged.value.type === "bookmark" || judged.value.type === "error") return false;
  const { manifest, refusal } = new KubeReader(kind).read(judged.value.item, undefined);
  if (refusal === undefined) return true;
  assert.match(refusal, /^kubernetes:[ -~]+; what is published for it stays$/);
  assert(refusal.length <= LONGEST_LINE, refusal);
  assert.equal(manifest?.kind, "Refused");
  return false;
}

export const KUBE_TARGETS: readonly Target[] = Object.entries(OBJECTS).map(([name, object]) => {
  const kind = [...NATIVE_KINDS, ...CILIUM_KINDS].find((one) => one.kind === name);
  assert.ok(kind);
  const seed = new TextEncoder().encode(JSON.stringify({ type: "MODIFIED", object }));
  return { name: `kubernetes ${name}`, suffix: "", seed, check: (_, bytes) => check(kind, bytes), cost: 4 };
});
