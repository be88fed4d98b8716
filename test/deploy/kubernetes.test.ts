/** deploy/kubernetes as `kubectl kustomize` builds it. Where there is no kubectl that is said: not run. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { KubeSource } from "../../src/export/kube-source.ts";
import { connectKube } from "../../src/kube/client.ts";
import { agentSettings } from "../../src/programs/agent/settings.ts";
import { exporterSettings } from "../../src/programs/exporter/settings.ts";
import { mirrorSettings } from "../../src/programs/kvstoremesh/settings.ts";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import { CILIUM_KINDS, CILIUM_SLICED_KINDS, NATIVE_KINDS } from "../../src/wire/kube-kinds.ts";
import { KubeServer, kubeconfig } from "../support/kube-api.ts";
import { apply, memoryKube } from "../support/kube-objects.ts";
import { schemaFaults } from "../support/kube-schema.ts";

const FOLDER = fileURLToPath(new URL("../../deploy/kubernetes", import.meta.url));
const OVERLAYS = ["any-cni", "cilium", "cilium-slices"] as const;
const hasKubectl = spawnSync("kubectl", ["version", "--client"]).status === 0;
const skip = hasKubectl ? false : "not run: no kubectl";

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string }[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly resources: { readonly requests: object; readonly limits: object };
  readonly readinessProbe?: object;
  readonly livenessProbe?: object;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
}

interface Built {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
    readonly selector?: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly publishNotReadyAddresses?: boolean;
    readonly podSelector?: { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  };
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const known = new Map<string, readonly Built[]>();

function built(overlay: string): readonly Built[] {
  const objects = known.get(overlay) ?? build(overlay);
  known.set(overlay, objects);
  return objects;
}

function build(overlay: string): readonly Built[] {
  const { stdout, stderr, status } = spawnSync("kubectl", ["kustomize", join(FOLDER, "overlays", overlay)], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Built);
}

const WORKLOADS = new Set(["Deployment", "StatefulSet", "DaemonSet"]);
const workloadsOf = (objects: readonly Built[]): readonly Built[] => objects.filter(({ kind }) => WORKLOADS.has(kind));
const nameOf = ({ kind, metadata }: Built): string => `${kind}/${metadata.name}`;

for (const overlay of OVERLAYS) {
  test(`${overlay}: every object is one of Kubernetes' API, no field is misspelt, and none is a Secret`, {
    skip,
  }, () => {
    const objects = built(overlay);
    const faults = objects.flatMap((object) => schemaFaults({ ...object }).map((line) => `${nameOf(object)}${line}`));
    assert.deepEqual(faults, []);
    assert.ok(objects.length >= 8);
    assert.ok(!objects.some(({ kind }) => kind === "Secret"));
  });

  test(`${overlay}: nothing is privileged, every program has probes and limits, what is mounted is there`, {
    skip,
  }, () => {
    for (const { metadata, spec } of workloadsOf(built(overlay))) {
      const { containers, initContainers = [], volumes } = spec.template.spec;
      const claimed = spec.volumeClaimTemplates?.map((claim) => claim.metadata.name) ?? [];
      const mountable = new Set([...volumes.map(({ name }) => name), ...claimed]);
      for (const container of [...containers, ...initContainers]) {
        const where = `${metadata.name}/${container.name}`;
        const { privileged, allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities } =
          container.securityContext;
        assert.equal(privileged, undefined, where);
        assert.equal(allowPrivilegeEscalation, false, where);
        assert.equal(readOnlyRootFilesystem, true, where);
        assert.deepEqual((capabilities as { drop: unknown }).drop, ["ALL"], where);
        assert.match(container.image, /^bulkhead:/, where);
        assert.ok(container.resources.requests && container.resources.limits, where);
        for (const { name } of container.volumeMounts) assert.ok(mountable.has(name), `${where}: ${name}`);
      }
      for (const { name, readinessProbe, livenessProbe } of containers) {
        assert.ok(readinessProbe && livenessProbe, `${metadata.name}/${name}`);
      }
    }
  });

  test(`${overlay}: what selects pods selects some`, { skip }, () => {
    const objects = built(overlay);
    const pods = workloadsOf(objects).map(({ spec }) => spec.template.metadata.labels);
    const selects = (labels: Readonly<Record<string, string>>): boolean =>
      pods.some((pod) => Object.entries(labels).every(([key, value]) => pod[key] === value));
    for (const object of objects) {
      const labels = object.spec?.selector?.matchLabels ?? object.spec?.podSelector?.matchLabels;
      if (labels !== undefined) assert.ok(selects(labels), nameOf(object));
    }
  });

  test(`${overlay}: a mirror that is not ready takes the etcd beside it away from nobody`, { skip }, () => {
    const services = built(overlay).filter(({ kind }) => kind === "Service");
    assert.equal(services.length, 2);
    for (const { spec } of services) assert.equal(spec.publishNotReadyAddresses, true);
  });

  test(`${overlay}: programs take their flags`, { skip }, () => {
    const programs: Readonly<Record<string, (argv: readonly string[]) => unknown>> = {
      exporter: (argv) => readSettings("exporter", exporterSettings, argv),
      kvstoremesh: (argv) => readSettings("kvstoremesh", mirrorSettings, argv),
      agent: (argv) => readSettings("agent", agentSettings, argv),
    };
    const said = built(overlay).find(({ kind, data }) => kind === "ConfigMap" && data?.["kube-mode"] !== undefined);
    const KUBE_MODE = said?.data?.["kube-mode"] ?? "";
    assert.equal(KUBE_MODE, overlay === "any-cni" ? "native" : "cilium");
    const values = { CLUSTER: "osaka", CLUSTER_ID: "7", OWN_CIDRS: "10.140.0.0/16", NODE: "osk-w1", KUBE_MODE };
    const seen: string[] = [];
    for (const { spec } of workloadsOf(built(overlay))) {
      for (const { args: [program = "", ...flags] = [], env = [] } of spec.template.spec.containers) {
        if (program === "") continue;
        const given = new Set(env.map(({ name }) => name));
        const argv = flags.map((flag) =>
          flag.replace(/\$\((\w+)\)/, (_, name: keyof typeof values) => {
            assert.ok(given.has(name), `${program}: ${name}`);
            return values[name];
          }),
        );
        const read = programs[program];
        assert.ok(read, program);
        read(argv);
        seen.push(program);
      }
    }
    assert.deepEqual(
      seen.sort(),
      overlay === "any-cni" ? ["agent", "exporter", "kvstoremesh"] : ["exporter", "kvstoremesh"],
    );
  });
}

test("docs/KUBERNETES.md names every Secret that is mounted", { skip }, () => {
  const text = readFileSync(new URL("../../docs/KUBERNETES.md", import.meta.url), "utf8");
  const volumes = OVERLAYS.flatMap(built).flatMap(({ spec }) => spec?.template?.spec?.volumes ?? []);
  const secrets = new Set(volumes.flatMap(({ secret }) => secret?.secretName ?? []));
  assert.ok(secrets.size >= 4);
  for (const secret of secrets) assert.ok(text.includes(`\`${secret}\``), secret);
});

/** `list pods`, `watch endpointslices.discovery.k8s.io`. */
function allowedBy(rules: readonly Rule[]): readonly string[] {
  const each = rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}${group === "" ? "" : `.${group}`}`)),
    ),
  );
  return each.sort();
}

const KINDS = {
  "any-cni": { kinds: NATIVE_KINDS, identities: "own" },
  cilium: { kinds: CILIUM_KINDS, identities: "given" },
  "cilium-slices": { kinds: CILIUM_SLICED_KINDS, identities: "given" },
} as const;

const BAD_NAMESPACE = "kubernetes:namespaces/billing: makes no sense";

for (const overlay of OVERLAYS)
  test(`${overlay}: the ClusterRole allows what the exporter asks of an API server, no more and no less`, {
    skip,
  }, async (t) => {
    const roles = built(overlay).filter(({ kind }) => kind === "ClusterRole");
    assert.equal(roles.length, 1);
    const folder = mkdtempSync(join(tmpdir(), "bulkhead-rbac-"));
    const kube = memoryKube();
    apply(kube, "apiVersion: v1\nkind: Namespace\nmetadata: {name: billing}\n");
    const server = new KubeServer({ kube });
    const config = join(folder, "config");
    writeFileSync(config, kubeconfig(await server.start()));
    const stop = new AbortController();
    const source = new KubeSource({
      ...{
        api: await connectKube({ config }),
        ...KINDS[overlay],
        services: "global",
        pageSize: 250,
        eventsAs: "exporter-of-the-test",
      },
      ...{ progressTimeoutMs: 60_000, watchSeconds: 300, settleMs: 1, backoff: { baseMs: 10, capMs: 100 } },
      ...{ clock: systemClock, random: systemRandom, log: silentLogger, metrics: new Metrics(), signal: stop.signal },
      report: async () => undefined,
    });
    const running = source.run();
    t.after(async () => {
      stop.abort();
      await running;
      await server.stop();
      rmSync(folder, { recursive: true });
    });
    const wanted = allowedBy(roles.flatMap(({ rules = [] }) => rules));
    const deadlineMs = systemClock.nowMs() + 20_000;
    while (server.asked.size < wanted.length && systemClock.nowMs() < deadlineMs) {
      source.tell([BAD_NAMESPACE]);
      await sleep(systemClock, 20);
    }
    await sleep(systemClock, 100);
    assert.deepEqual([...server.asked].sort(), wanted);
  });

test("the check of fields notices what is wrong", () => {
  const good = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "a" },
    spec: { ports: [{ port: 80, targetPort: "x" }] },
  };
  assert.deepEqual(schemaFaults(good), []);
  assert.deepEqual(schemaFaults({ ...good, spec: { prots: [] } }), [".spec.prots: no such field"]);
  assert.deepEqual(schemaFaults({ ...good, spec: { ports: [{ port: "80" }] } }), [
    ".spec.ports[0].port: must be a number",
  ]);
  assert.deepEqual(schemaFaults({ ...good, spec: { ports: {} } }), [".spec.ports: must be a list"]);
  assert.deepEqual(schemaFaults({ ...good, kind: "Serviec" }), ["Serviec: no such kind"]);
});
