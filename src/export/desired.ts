/**
 * What this cluster's etcd should hold: objects in, state keys and values out, in Cilium's format. Pure, and a generator, so that whoever
 * drives it may rest between two entries.
 */
import { policyName } from "../model/policy.ts";
import { encodeIdentity, labelFault, labelString } from "../wire/identity.ts";
import { encodeIp } from "../wire/ip.ts";
import { encodeLocalEndpoint } from "../wire/local-endpoint.ts";
import { encodeLocalService } from "../wire/local-service.ts";
import type { IdentityManifest, NodeManifest, PodManifest, PolicyManifest, ServiceManifest } from "../wire/manifest.ts";
import { serviceExport } from "../wire/manifest.ts";
import { encodeNode } from "../wire/node.ts";
import { encodePolicy } from "../wire/policy.ts";
import { encodeService } from "../wire/service.ts";
import { serviceRouting } from "../wire/service-routing.ts";
import { hostAddress } from "./addresses.ts";
import { backendsOf, PodIndex, sliceBackends, unreadyEndpoints, unreadyPods } from "./backends.ts";
import { clusterAddresses, doubleFrontends, externalOf, frontendsOf, type Holders } from "./frontends.ts";
import type { Scope } from "./identities.ts";
import { identityLabels } from "./labels.ts";
import {
  type Desired,
  type DesiredInput,
  IDENTITY_PART,
  IP_PART,
  isShared,
  type Part,
  prefixOf,
  vetted,
} from "./parts.ts";
import { placesOf } from "./places.ts";
import { podAudit, policyProblems } from "./policies.ts";
import { namedPortsOf, podClashes, sliceClashes } from "./port-clashes.ts";
import { heldServices, refusedKeys } from "./refused.ts";
import { serviceExportEntry } from "./service-exports.ts";
import type { World } from "./world.ts";
import { namespacedName } from "./world.ts";

/** Every key and value, and one problem line for everything that cannot be published. */
export function* desiredState(input: DesiredInput): Generator<Desired> {
  for (const node of input.world.nodes.values()) yield* nodeEntry(input, node);
  const pods = new PodIndex();
  for (const pod of input.world.pods.values()) {
    pods.add(pod);
    yield* knownPodEntries(input, pod);
  }
  for (const [labels, id, scopes = []] of input.book?.entries() ?? []) {
    const encode = (): Uint8Array => new TextEncoder().encode(labels);
    for (const scope of scopes) yield* vetted(input, IDENTITY_PART[scope], String(id), `identity ${id}`, encode);
  }
  for (const identity of input.world.identities.values()) yield* givenIdentity(input, identity);
  yield* missingNamespaces(input.world);
  const holders = clusterAddresses(input.world);
  yield* doubleFrontends(input, holders);
  const held = heldServices(input.world);
  for (const service of input.world.services.values()) {
    if (!held.has(namespacedName(service))) yield* serviceEntries(input, service, pods, holders);
  }
  for (const wanted of input.world.exports.values()) yield* serviceExportEntry(input, wanted);
  for (const policy of input.world.policies.values()) yield* policyEntry(input, policy);
  for (const refused of input.world.refused) {
    for (const [part, suffix] of refusedKeys(refused))
      yield { part, key: prefixOf(input, part) + suffix, refused: true };
  }
}

function* nodeEntry(input: DesiredInput, manifest: NodeManifest): Generator<Desired> {
  const { name: cluster, id: clusterId } = input.cluster;
  const { name, labels, podCidrs, addresses, reservedAddresses = [] } = manifest;
  const node = { cluster, clusterId, name, addresses, podCidrs, reservedAddresses, labels };
  yield* vetted(input, "nodes", name, `${manifest.source}: Node ${name}`, () => encodeNode(node));
}

/** Known where its workloads are. */
function givenIdentity(input: DesiredInput, { id, given, namespace, source }: IdentityManifest): Generator<Desired> {
  const part = IDENTITY_PART[isShared(input.world, namespace) ? "shared" : "local"];
  return vetted(input, part, String(id), `${source}: identity ${id}`, () => encodeIdentity(given));
}

function* missingNamespaces(world: World): Generator<Desired> {
  const missing = new Map<string, string>();
  for (const object of [...world.pods.values(), ...world.services.values()]) {
    if (!world.namespaces.has(object.namespace) && !missing.has(object.namespace)) {
      missing.set(object.namespace, object.source);
    }
  }
  for (const [namespace, source] of missing) {
    const what = `namespace ${namespace} has no manifest, so nothing of it is shared with other clusters`;
    yield { problem: `${source}: ${what}; add a Namespace document` };
  }
}

function knownPodEntries(input: DesiredInput, pod: PodManifest): Iterable<Desired> {
  const { world, owners, book, memo } = input;
  const name = namespacedName(pod);
  const own = pod.podIps.filter((address) => owners.get(address) === name);
  const make = (): Iterable<Desired> => podEntries(input, pod, own);
  const inputs = [
    own.join(),
    world.namespaces.get(pod.namespace),
    hostAddress(pod, world.nodes),
    book,
    book?.collections,
  ];
  return memo?.of(pod, inputs, make) ?? make();
}

/** @param own those of its addresses that are given to it. */
function* podEntries(input: DesiredInput, pod: PodManifest, own: readonly string[]): Generator<Desired> {
  const { world } = input;
  const where = `${pod.source}: Pod ${namespacedName(pod)}`;
  yield* endpointEntry(input, pod, where);
  yield* podClashes(pod, where);
  if (own.length === 0) return;
  const scope = isShared(world, pod.namespace) ? "shared" : "local";
  const part = IP_PART[scope];
  const identity = podIdentity(input, pod, scope);
  if (typeof identity === "number") {
    for (const address of own) yield* ipEntry(input, pod, part, address, identity, where);
    return;
  }
  yield { problem: `${where}: ${identity}` };
  for (const address of own) yield { part, key: prefixOf(input, part) + address, refused: true };
}

function* endpointEntry(input: DesiredInput, pod: PodManifest, where: string): Generator<Desired> {
  const { audit, problem } = podAudit(pod);
  if (problem !== undefined) yield { problem: `${where}: ${problem}` };
  if (!audit) return;
  const { namespace, name } = pod;
  yield* vetted(input, "endpoints", namespacedName(pod), where, () => encodeLocalEndpoint({ namespace, name, audit }));
}

function* policyEntry(input: DesiredInput, manifest: PolicyManifest): Generator<Desired> {
  for (const problem of policyProblems(input.world, manifest)) yield { problem };
  const name = policyName(manifest.policy);
  yield* vetted(input, "policies", name, `${manifest.source}: ${name}`, () => encodePolicy(manifest));
}

/** The numeric identity of a pod, or why it cannot have one and how to mend it. */
function podIdentity({ cluster, world, book }: DesiredInput, pod: PodManifest, scope: Scope): number | string {
  if (book === undefined) return pod.identity ?? "it has no identity";
  const labels = identityLabels(cluster.name, pod, world.namespaces.get(pod.namespace)?.labels ?? new Map());
  const fault = labels.map(labelFault).find((line) => line !== undefined);
  if (fault !== undefined) return `label with ${fault}; change it`;
  const identity = book.identityOf(labelString(labels), scope);
  return identity ?? `no identity is left in the range of cluster id ${cluster.id}; use fewer distinct label sets`;
}

function ipEntry(
  input: DesiredInput,
  pod: PodManifest,
  part: Part,
  address: string,
  identity: number,
  where: string,
): Generator<Desired> {
  const { namespace, name: podName, serviceAccount } = pod;
  const namedPorts = namedPortsOf(pod);
  const host = hostAddress(pod, input.world.nodes);
  const entry = { address, hostAddress: host, identity, namespace, podName, serviceAccount, namedPorts };
  return vetted(input, part, address, where, () => encodeIp(entry));
}

/** What a manifest asks for and nothing here does yet: said, not passed over in silence. */
function unenforced(service: ServiceManifest): readonly string[] {
  const lines: string[] = [];
  if (service.ports.some(({ protocol }) => protocol === "SCTP")) lines.push("SCTP ports are not load-balanced yet");
  if (service.clusterIps.length === 0) lines.push("no spec.clusterIP, so that no address can be served; write one");
  return lines;
}

function* serviceEntries(
  input: DesiredInput,
  manifest: ServiceManifest,
  pods: PodIndex,
  holders: Holders,
): Generator<Desired> {
  if (manifest.unserved) return;
  const { cluster, world } = input;
  const suffix = namespacedName(manifest);
  const where = `${manifest.source}: Service ${suffix}`;
  const wish = serviceExport(manifest);
  const asked = serviceRouting(manifest.annotations, cluster.name, wish);
  for (const line of [...wish.problems, ...asked.problems, ...unenforced(manifest)])
    yield { problem: `${where}: ${line}` };
  const { namespace, name, labels, selector } = manifest;
  const global = wish.global && isShared(world, namespace);
  const shared = global && wish.shared;
  const frontends = frontendsOf(manifest);
  const slices = world.slices.get(suffix) ?? [];
  yield* sliceClashes(manifest, slices);
  const { backends, ending } = manifest.sliced
    ? sliceBackends(manifest, slices)
    : { backends: backendsOf(manifest, pods), ending: false };
  if (shared) {
    const whose = { cluster: cluster.name, clusterId: cluster.id, namespace, name };
    const value = { ...whose, frontends, backends, ...placesOf(slices, backends), shared, labels, selector };
    yield* vetted(input, "services", suffix, where, () => encodeService(value));
  }
  if (frontends.size === 0) return;
  const external = externalOf(input, manifest, holders);
  const unready = (): number => (manifest.sliced ? unreadyEndpoints(slices) : unreadyPods(manifest, pods));
  // Written only where it decides something: it changes often.
  const routing = asked.routing && { ...asked.routing, unready: asked.routing.spillBelow > 0 ? unready() : 0 };
  const { sessionAffinitySeconds } = manifest;
  const more = {
    ...(external.size > 0 && { external }),
    ...(ending ? { ending } : {}),
    ...(routing ? { routing } : {}),
    ...(sessionAffinitySeconds > 0 ? { sessionAffinitySeconds } : {}),
    ...(wish.algorithm ? { algorithm: wish.algorithm } : {}),
  };
  const local = { ...more, namespace, name, frontends, backends, global, shared, affinity: wish.affinity };
  yield* vetted(input, "local-services", suffix, where, () => encodeLocalService(local));
}
