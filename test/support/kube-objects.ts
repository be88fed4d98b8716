/** YAML into an API server's model, as `kubectl apply` does it: a stranger can read what a test puts in. */
import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { type KubeObjectBody, type MemoryCollection, MemoryKube } from "../../src/kube/memory.ts";
import { CILIUM_KINDS, CILIUM_SLICED_KINDS, type KubeKind, NATIVE_KINDS, pathOf } from "../../src/wire/kube-kinds.ts";

const NAMED = [...NATIVE_KINDS, ...CILIUM_KINDS, ...CILIUM_SLICED_KINDS].map((kind) => [kind.kind, kind] as const);
const ALL_KINDS = [...new Map(NAMED).values()];

export const EVENTS: MemoryCollection = { path: "/api/v1/events", apiVersion: "v1", kind: "Event" };

/** An API server that knows the kinds, all of them unless told otherwise, and events. */
export function memoryKube(kinds: readonly KubeKind[] = ALL_KINDS): MemoryKube {
  const read = kinds.map(
    (kind): MemoryCollection => ({ path: pathOf(kind), apiVersion: kind.apiVersion, kind: kind.kind }),
  );
  return new MemoryKube([...read, EVENTS]);
}

export function pathOfKind(name: string): string {
  const kind = ALL_KINDS.find(({ kind }) => kind === name);
  assert.ok(kind, name);
  return pathOf(kind);
}

/** What servers add to every object: long, and none of our business. */
function decorated(body: KubeObjectBody): KubeObjectBody {
  const { kind: _kind, apiVersion, ...rest } = body;
  const annotations = {
    ...(body.metadata["annotations"] as object | undefined),
    "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(body),
  };
  const managedFields = [
    {
      manager: "kubectl-client-side-apply",
      operation: "Update",
      apiVersion,
      time: "2026-03-02T10:11:12Z",
      fieldsType: "FieldsV1",
      fieldsV1: { "f:metadata": { "f:labels": { ".": {}, "f:app": {} } }, "f:spec": { "f:containers": {} } },
    },
  ];
  return { ...rest, metadata: { ...body.metadata, annotations, generation: 1, managedFields } };
}

/** Every document of a YAML text. */
export function apply(kube: MemoryKube, text: string): void {
  for (const document of parseAllDocuments(text)) {
    assert.deepEqual(document.errors, []);
    const body: KubeObjectBody | null = document.toJS();
    if (body !== null) kube.put(pathOfKind(String(body["kind"])), decorated(body));
  }
}

/** A pod as an API server has it after some days: most of it is noise to us. */
export function podBody(name: string, ip: string, more: Readonly<Record<string, unknown>> = {}): KubeObjectBody {
  const app = name.replace(/-[^-]+$/, "");
  return decorated({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "billing",
      labels: { app, "pod-template-hash": "5c9d7c6b8f" },
      annotations: { "prometheus.io/scrape": "true", "checksum/config": "a".repeat(64) },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: app, uid: "1", controller: true }],
    },
    spec: {
      nodeName: "osk-w1",
      serviceAccountName: "default",
      containers: [
        {
          name: "main",
          image: "registry.example/billing/ledger:1.2.3",
          args: ["--listen", ":8080"],
          env: Array.from({ length: 12 }, (_, index) => ({ name: `SETTING_${index}`, value: "x".repeat(40) })),
          ports: [{ name: "web", containerPort: 8080, protocol: "TCP" }],
          resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "100m", memory: "256Mi" } },
          volumeMounts: [{ name: "token", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true }],
        },
      ],
      tolerations: [{ key: "node.kubernetes.io/not-ready", operator: "Exists", tolerationSeconds: 300 }],
    },
    status: {
      phase: "Running",
      hostIP: "192.0.2.14",
      podIP: ip,
      podIPs: [{ ip }],
      conditions: ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map((type) => ({
        type,
        status: "True",
        lastTransitionTime: "2026-03-02T10:11:12Z",
      })),
      containerStatuses: [
        { name: "main", ready: true, restartCount: 3, imageID: `registry.example@sha256:${"b".repeat(64)}` },
      ],
      qosClass: "Burstable",
    },
    ...more,
  });
}
