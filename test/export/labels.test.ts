import assert from "node:assert/strict";
import { test } from "node:test";
import { identityLabels } from "../../src/export/labels.ts";
import { labelString } from "../../src/wire/identity.ts";

const text = (labels: Record<string, string>, namespaceLabels: Record<string, string> = {}): string =>
  labelString(
    identityLabels(
      "osaka",
      { namespace: "billing", serviceAccount: "teller", labels: new Map(Object.entries(labels)) },
      new Map(Object.entries(namespaceLabels)),
    ),
  );

const CONTEXT =
  "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=billing;" +
  "k8s:io.cilium.k8s.policy.cluster=osaka;k8s:io.cilium.k8s.policy.serviceaccount=teller;" +
  "k8s:io.kubernetes.pod.namespace=billing;";

test("a pod's own labels and its namespace, cluster and service account", () => {
  assert.equal(text({ app: "ledger" }), `k8s:app=ledger;${CONTEXT}`);
  assert.equal(text({}), CONTEXT);
  assert.equal(
    text({ "app.kubernetes.io/name": "ledger" }, { team: "fin" }),
    `k8s:app.kubernetes.io/name=ledger;${CONTEXT.replace("k8s:io.cilium.k8s.policy.cluster", "k8s:io.cilium.k8s.namespace.labels.team=fin;k8s:io.cilium.k8s.policy.cluster")}`,
  );
});

test("labels that say which instance it is are left out", () => {
  const instance = {
    "pod-template-hash": "5c9d",
    "controller-revision-hash": "1",
    "statefulset.kubernetes.io/pod-name": "ledger-0",
    "apps.kubernetes.io/pod-index": "0",
    "batch.kubernetes.io/job-completion-index": "3",
    "kubernetes.io/hostname": "w3",
    "failure-domain.beta.kubernetes.io/zone": "b",
    "io.kubernetes.container": "x",
  };
  assert.equal(text({ app: "ledger", ...instance }), text({ app: "ledger" }));
});

test("a pod cannot say where it runs or who it is", () => {
  const forged = {
    "io.cilium.k8s.policy.cluster": "virginia",
    "io.cilium.k8s.policy.serviceaccount": "root",
    "io.cilium.k8s.namespace.labels.team": "admin",
    "io.kubernetes.pod.namespace": "kube-system",
  };
  assert.equal(text({ app: "ledger", ...forged }), text({ app: "ledger" }));
});
