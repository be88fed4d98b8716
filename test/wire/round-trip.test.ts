/** Whatever our own values are: encoded, judged, they come back as they were. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatAddress, formatCidr, isV4 } from "../../src/model/address.ts";
import { clusterNameFault, identityRange } from "../../src/model/cluster.ts";
import type { AddressPorts, Judged, Label, ServiceExport } from "../../src/model/resource.ts";
import { forbiddenRange, hostCidr, readCidr } from "../../src/wire/addresses.ts";
import { encodeClusterConfig, judgeClusterConfig } from "../../src/wire/cluster-config.ts";
import { encodeEndpointSlice } from "../../src/wire/endpoint-slice.ts";
import { CLUSTER_LABEL_KEY, encodeIdentity, labelFault, labelString } from "../../src/wire/identity.ts";
import { encodeIp, ipSuffix } from "../../src/wire/ip.ts";
import { encodeLocalService, judgeLocalService } from "../../src/wire/local-service.ts";
import { encodeNode } from "../../src/wire/node.ts";
import { judge } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { encodeServiceExport } from "../../src/wire/service-export.ts";

/** Records with the usual prototype, as our own values have it. */
function record<T>(model: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const dnsLabel = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const subdomain = fc.array(dnsLabel, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
const words = fc.string({ unit: "grapheme", maxLength: 12 });
const textMap = fc.array(fc.tuple(words, words), { maxLength: 4 }).map((entries) => new Map(entries));

const cluster = record({
  name: dnsLabel.filter((name) => clusterNameFault(name) === undefined),
  id: fc.integer({ min: 1, max: 255 }),
});

const addressBytes = fc
  .tuple(fc.boolean(), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(([v4, bytes]) => {
    const address = new Uint8Array(bytes);
    if (v4) address.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    return address;
  })
  .filter((address) => forbiddenRange(hostCidr(address)) === undefined);
const address = addressBytes.map(formatAddress);

const prefix = fc
  .tuple(addressBytes, fc.integer({ min: 1, max: 128 }))
  .map(([bytes, length]) => {
    const v4 = isV4(bytes);
    const bits = v4 ? Math.min(length, 32) : length;
    const network = bytes.map((byte, index) => {
      const kept = Math.min(8, Math.max(0, bits + (v4 ? 96 : 0) - 8 * index));
      return byte & (0xff00 >> kept);
    });
    return { address: network, bits };
  })
  .filter((cidr) => forbiddenRange(cidr) === undefined && formatCidr(cidr).includes(".") === isV4(cidr.address));

const protocol = fc.constantFrom("TCP", "UDP", "SCTP" as const);
const port = fc.integer({ min: 1, max: 65535 });
const ports = fc
  .uniqueArray(record({ name: dnsLabel, protocol, port }), { selector: (one) => one.name, maxLength: 3 })
  .map((list) => list.sort((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name))));
const addressPorts: fc.Arbitrary<AddressPorts> = fc
  .array(fc.tuple(address, ports), { maxLength: 4 })
  .map((entries) => new Map(entries));

const names = { namespace: dnsLabel, name: dnsLabel };

function same<T>(judged: Judged<T>, value: T): void {
  assert.deepEqual(judged, { ok: true, value });
}

test("ip", () => {
  const claim = fc.oneof(
    address.map((text) => ({ address: text })),
    prefix.map(({ address: network, bits }) => ({ address: formatAddress(network), bits })),
  );
  const rest = record({
    hostAddress: fc.oneof(fc.constant(""), address),
    low: fc.integer({ min: 0, max: 65535 }),
    namespace: words,
    podName: words,
    serviceAccount: words,
    namedPorts: fc.array(record({ name: words, port, protocol }), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(cluster, claim, rest, (owner, claimed, { low, ...others }) => {
      const value = { ...claimed, ...others, identity: owner.id * 65536 + low };
      same(judge("ip", owner, ipSuffix(claimed), encodeIp(value)), value);
    }),
  );
});

test("identities", () => {
  const label: fc.Arbitrary<Label> = record({
    source: fc.constantFrom("k8s", "container"),
    key: words,
    value: words,
  });
  const labels = fc.uniqueArray(
    label.filter((one) => labelFault(one) === undefined),
    {
      selector: (one) => one.key,
      maxLength: 5,
    },
  );
  fc.assert(
    fc.property(cluster, labels, (owner, others) => {
      const all = [...others, { source: "k8s", key: CLUSTER_LABEL_KEY, value: owner.name }];
      const { first } = identityRange(owner.id);
      const judged = judge("identities", owner, String(first), encodeIdentity(all));
      assert(judged.ok);
      assert.equal(judged.value.id, first);
      assert.deepEqual(new Set(judged.value.labels), new Set(all));
      assert.equal(labelString(judged.value.labels), labelString(all));
    }),
  );
});

test("labels that could be read as others are refused before they are written", () => {
  const faulty: readonly Label[] = [
    { source: "k8s", key: "a;b", value: "" },
    { source: "k8s", key: "a=b", value: "" },
    { source: "k8s", key: "a", value: "b;k8s:c=d" },
    { source: "k8s", key: "", value: "" },
    { source: "k8s:", key: "a", value: "" },
    { source: "$", key: "host", value: "" },
    { source: "reserved", key: "host", value: "" },
  ];
  for (const label of faulty) {
    assert.notEqual(labelFault(label), undefined);
    assert.throws(() => encodeIdentity([label]));
  }
  const twice = { source: "k8s", key: "a", value: "" };
  assert.throws(() => encodeIdentity([twice, { ...twice, source: "container" }]), /distinct/);
});

test("nodes", () => {
  const byFamily = (texts: readonly string[]): string[] => [
    ...texts.filter((text) => text.includes(".")),
    ...texts.filter((text) => !text.includes(".")),
  ];
  const node = record({
    name: subdomain,
    addresses: fc.array(record({ type: fc.constantFrom("InternalIP", "ExternalIP"), address }), { maxLength: 4 }),
    podCidrs: fc.array(prefix.map(formatCidr), { maxLength: 5 }).map(byFamily),
    reservedAddresses: fc.array(address, { maxLength: 2 }).map(byFamily),
    labels: textMap,
  });
  fc.assert(
    fc.property(cluster, node, (owner, { addresses, ...rest }) => {
      const ordered = ["InternalIP", "ExternalIP"].flatMap((type) => addresses.filter((one) => one.type === type));
      const value = { cluster: owner.name, clusterId: owner.id, addresses: ordered, ...rest };
      same(judge("nodes", owner, rest.name, encodeNode({ ...value, addresses })), value);
    }),
  );
});

test("services", () => {
  const service = record({
    ...names,
    frontends: addressPorts,
    backends: addressPorts,
    shared: fc.boolean(),
    labels: textMap,
    selector: textMap,
  });
  fc.assert(
    fc.property(cluster, service, (owner, rest) => {
      const value = { cluster: owner.name, clusterId: owner.id, ...rest };
      same(judge("services", owner, `${rest.namespace}/${rest.name}`, encodeService(value)), value);
    }),
  );
});

test("endpoint slices", () => {
  const maybe = fc.constantFrom(true, false, undefined);
  const sliceOf = (type: "IPv4" | "IPv6") =>
    record({
      ...names,
      name: subdomain,
      labels: textMap,
      annotations: textMap,
      addressType: fc.constant(type),
      endpoints: fc.array(
        record({
          addresses: fc.array(
            address.filter((text) => text.includes(".") === (type === "IPv4")),
            { maxLength: 3 },
          ),
          ready: maybe,
          serving: maybe,
          terminating: maybe,
          hostname: words,
          nodeName: words,
          zone: words,
          forZones: fc.array(words, { maxLength: 2 }),
        }),
        { maxLength: 3 },
      ),
      ports: fc.array(
        record({ name: words, protocol, port: fc.option(port, { nil: undefined }), appProtocol: words }),
        { maxLength: 3 },
      ),
    });
  fc.assert(
    fc.property(cluster, fc.oneof(sliceOf("IPv4"), sliceOf("IPv6")), (owner, rest) => {
      const value = { cluster: owner.name, clusterId: owner.id, ...rest };
      same(judge("endpointslices", owner, `${rest.namespace}/${rest.name}`, encodeEndpointSlice(value)), value);
    }),
  );
});

test("service exports", () => {
  const oneOf = <const W extends string>(...known: readonly W[]) => fc.constantFrom(undefined, ...known);
  const exported = record<Omit<ServiceExport, "cluster">>({
    ...names,
    labels: textMap,
    annotations: textMap,
    createdAt: fc
      .date({ min: new Date("0002-01-01"), max: new Date("9999-12-31"), noInvalidDate: true })
      .map((date) => date.toISOString()),
    ports: fc.array(record({ name: words, protocol: words, appProtocol: words, port }), { maxLength: 3 }),
    type: oneOf("ClusterSetIP", "Headless"),
    sessionAffinity: oneOf("ClientIP", "None"),
    timeoutSeconds: fc.option(fc.integer({ min: 0, max: 86_400 }), { nil: undefined }),
    ipFamilies: fc.array(fc.constantFrom("IPv4", "IPv6"), { maxLength: 2 }),
    internalTrafficPolicy: oneOf("Cluster", "Local"),
    trafficDistribution: oneOf("PreferClose", "PreferSameZone", "PreferSameNode"),
  });
  fc.assert(
    fc.property(cluster, exported, (owner, rest) => {
      const value = { cluster: owner.name, ...rest };
      same(judge("serviceexports", owner, `${rest.namespace}/${rest.name}`, encodeServiceExport(value)), value);
    }),
  );
});

test("local services", () => {
  const weights = fc.uniqueArray(fc.tuple(dnsLabel, fc.nat({ max: 100 })), {
    selector: ([name]) => name,
    maxLength: 3,
  });
  const routing = record({
    prefer: fc.array(dnsLabel, { maxLength: 3 }),
    weights: weights.map((entries) => new Map(entries)),
    spillBelow: fc.nat({ max: 100 }),
    unready: fc.nat({ max: 2 ** 31 - 1 }),
  });
  const service = record({
    ...names,
    frontends: addressPorts,
    backends: addressPorts,
    global: fc.boolean(),
    shared: fc.boolean(),
    affinity: fc.constantFrom("none", "local", "remote" as const),
    algorithm: fc.constantFrom("random", "maglev" as const),
  });
  fc.assert(
    fc.property(service, fc.nat({ max: 2 }), fc.boolean(), fc.option(routing), (rest, seconds, ending, asked) => {
      const value = {
        ...{ ...rest, ...(seconds ? { sessionAffinitySeconds: seconds } : {}) },
        ...{ ...(ending ? { ending: true as const } : {}), ...(asked ? { routing: asked } : {}) },
      };
      same(judgeLocalService(`${value.namespace}/${value.name}`, encodeLocalService(value)), value);
    }),
  );
});

test("cluster configs", () => {
  const config = record({
    id: fc.integer({ min: 1, max: 255 }),
    syncedCanaries: fc.boolean(),
    cached: fc.boolean(),
    maxConnectedClusters: fc.constantFrom(0, 255),
    endpointSlicesExportMode: fc.constantFrom("", "services-and-endpointslices", "endpointslices-only"),
  });
  const exportsEnabled = fc.constantFrom({}, { serviceExportsEnabled: true }, { serviceExportsEnabled: false });
  fc.assert(
    fc.property(config, exportsEnabled, (known, optional) => {
      const value = { ...known, ...optional };
      same(judgeClusterConfig("key", encodeClusterConfig(value)), value);
    }),
  );
});

test("readCidr refuses bits beyond the length", () => {
  assert.throws(() => readCidr("10.0.0.1/8", []), /no prefix/);
});
