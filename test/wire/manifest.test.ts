import assert from "node:assert/strict";
import { test } from "node:test";
import { isGlobalNamespace, type ServiceManifest, serviceExport } from "../../src/wire/manifest.ts";

function service(annotations: Record<string, string>): ServiceManifest {
  return {
    kind: "Service",
    source: "f:1",
    name: "s",
    namespace: "n",
    labels: new Map(),
    annotations: new Map(Object.entries(annotations)),
    selector: new Map(),
    clusterIps: [],
    ports: [],
    sessionAffinitySeconds: 0,
  };
}

const GLOBAL = "service.cilium.io/global";
const SHARED = "service.cilium.io/shared";
const AFFINITY = "service.cilium.io/affinity";

const ALGORITHM = "service.cilium.io/lb-algorithm";

/** [annotations, global, shared, affinity, problems, algorithm] */
const CASES: readonly (readonly [Record<string, string>, boolean, boolean, string, number, string?])[] = [
  [{}, false, false, "none", 0],
  [{ [GLOBAL]: "true" }, true, true, "none", 0],
  [{ [GLOBAL]: "TRUE" }, true, true, "none", 0],
  [{ [GLOBAL]: "false" }, false, false, "none", 0],
  [{ [GLOBAL]: "yes" }, false, false, "none", 1],
  [{ [GLOBAL]: "" }, false, false, "none", 1],
  [{ "io.cilium/global-service": "true" }, true, true, "none", 0],
  [{ [GLOBAL]: "false", "io.cilium/global-service": "true" }, false, false, "none", 0],
  [{ [SHARED]: "true" }, false, false, "none", 0],
  [{ [GLOBAL]: "true", [SHARED]: "false" }, true, false, "none", 0],
  [{ [GLOBAL]: "true", "io.cilium/shared-service": "False" }, true, false, "none", 0],
  [{ [GLOBAL]: "true", [SHARED]: "no" }, true, false, "none", 1],
  [{ [GLOBAL]: "true", [AFFINITY]: "local" }, true, true, "local", 0],
  [{ [GLOBAL]: "true", "io.cilium/service-affinity": "Remote" }, true, true, "remote", 0],
  [{ [GLOBAL]: "true", [AFFINITY]: "none" }, true, true, "none", 0],
  [{ [GLOBAL]: "true", [AFFINITY]: "near" }, true, true, "none", 1],
  [{ [AFFINITY]: "local" }, false, false, "none", 0],
  [{ [ALGORITHM]: "maglev" }, false, false, "none", 0, "maglev"],
  [{ [ALGORITHM]: "Random", [GLOBAL]: "true" }, true, true, "none", 0, "random"],
  [{ [ALGORITHM]: "least", [GLOBAL]: "true" }, true, true, "none", 1],
];

test("what a service's annotations say", () => {
  for (const [annotations, global, shared, affinity, problems, algorithm] of CASES) {
    const wish = serviceExport(service(annotations));
    assert.deepEqual(
      { ...wish, problems: wish.problems.length },
      { global, shared, affinity, algorithm, problems },
      JSON.stringify(annotations),
    );
  }
});

test("a problem says what counts and what to write", () => {
  assert.deepEqual(serviceExport(service({ [GLOBAL]: "true", [AFFINITY]: "near" })).problems, [
    'annotation service.cilium.io/affinity is "near" and counts as "none"; write "none", "local" or "remote"',
  ]);
  assert.deepEqual(serviceExport(service({ [ALGORITHM]: "least" })).problems, [
    'annotation service.cilium.io/lb-algorithm is "least" and does not count; write "random" or "maglev"',
  ]);
});

test("a namespace takes part unless it says otherwise", () => {
  const namespace = (annotations: Record<string, string>) =>
    isGlobalNamespace({
      kind: "Namespace",
      source: "f:1",
      name: "n",
      labels: new Map(),
      annotations: new Map(Object.entries(annotations)),
    });
  assert.equal(namespace({}), true);
  assert.equal(namespace({ "clustermesh.cilium.io/global": "True" }), true);
  assert.equal(namespace({ "clustermesh.cilium.io/global": "false" }), false);
  assert.equal(namespace({ "clustermesh.cilium.io/global": "yes" }), false);
});
