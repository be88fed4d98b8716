import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { identityLabels } from "../../src/export/labels.ts";
import { labelFault, labelString } from "../../src/wire/identity.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";

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

test("labels of a namespace stay labels of a namespace, whatever they are called", () => {
  const forged = {
    "io.cilium.k8s.policy.cluster": "virginia",
    "io.cilium.k8s.policy.serviceaccount": "root",
    "io.kubernetes.pod.namespace": "kube-system",
    "io.cilium.k8s.namespace.labels.team": "admin",
    "kubernetes.io/metadata.name": "kube-system",
  };
  const given = text({ app: "ledger" }, forged).split(";");
  const plain = text({ app: "ledger" }).split(";");
  const added = given.filter((label) => !plain.includes(label));
  assert.deepEqual(added, [
    "k8s:io.cilium.k8s.namespace.labels.io.cilium.k8s.namespace.labels.team=admin",
    "k8s:io.cilium.k8s.namespace.labels.io.cilium.k8s.policy.cluster=virginia",
    "k8s:io.cilium.k8s.namespace.labels.io.cilium.k8s.policy.serviceaccount=root",
    "k8s:io.cilium.k8s.namespace.labels.io.kubernetes.pod.namespace=kube-system",
  ]);
  assert.deepEqual(
    plain.filter((label) => !given.includes(label)),
    [],
    "nothing the control plane says is gone",
  );
});

test("property: no labels of pods and namespaces change what the control plane says", () => {
  const prefix = fc.constantFrom("", "io.cilium.k8s.policy.", "io.kubernetes.pod.", "io.cilium.k8s.namespace.labels.");
  const tail = fc.constantFrom("cluster", "serviceaccount", "namespace", "kubernetes.io/metadata.name", "team", "app");
  const key = fc.tuple(prefix, tail).map(([before, after]) => before + after);
  const labels = fc.dictionary(key, fc.constantFrom("x", "virginia", "root"));
  fc.assert(
    fc.property(labels, labels, (ofPod, ofNamespace) => {
      const said = text(ofPod, ofNamespace).split(";");
      for (const label of CONTEXT.split(";")) assert(said.includes(label), label);
      const keys = said.map((label) => label.split("=")[0]);
      assert.equal(new Set(keys).size, keys.length);
    }),
  );
});

for (const key of ["reserved:host", "k8s:io.cilium.k8s.policy.cluster", "cidr:10.0.0.0/8", "any:app", "a;b", "a=b"]) {
  test(`a label key with a source of its own is refused in a manifest: ${key}`, () => {
    for (const kind of ["Pod", "Namespace"]) {
      const document = `apiVersion: v1\nkind: ${kind}\nmetadata: {name: p, labels: {"${key}": ""}}`;
      const { objects, problems } = parseManifests("f.yaml", document);
      assert.deepEqual(objects, []);
      assert.equal(problems.length, 1);
    }
  });
}

test("a service account cannot smuggle labels in", () => {
  const labels = identityLabels(
    "osaka",
    { namespace: "billing", serviceAccount: "teller;reserved:host=", labels: new Map() },
    new Map(),
  );
  assert(labels.some((label) => labelFault(label) !== undefined));
});
