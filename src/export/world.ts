/** The objects of all manifest files put together: what this cluster is told to run. Pure. */
import { policyName } from "../model/policy.ts";
import type {
  ExportManifest,
  IdentityManifest,
  Manifest,
  NamespaceManifest,
  NodeManifest,
  PodManifest,
  PodsManifest,
  PolicyManifest,
  RefusedManifest,
  ServiceManifest,
  SliceManifest,
} from "../wire/manifest.ts";

export interface World {
  /** By name. */
  readonly namespaces: ReadonlyMap<string, NamespaceManifest>;
  readonly nodes: ReadonlyMap<string, NodeManifest>;
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, ServiceManifest>;
  /** By the `namespace/name` of their service. */
  readonly slices: ReadonlyMap<string, readonly SliceManifest[]>;
  readonly exports: ReadonlyMap<string, ExportManifest>;
  readonly pods: ReadonlyMap<string, PodManifest>;
  /** By `policyName()`. */
  readonly policies: ReadonlyMap<string, PolicyManifest>;
  /** By number, as text. */
  readonly identities: ReadonlyMap<string, IdentityManifest>;
  /** What is there and cannot be read. */
  readonly refused: readonly RefusedManifest[];
  readonly problems: readonly string[];
}

export function namespacedName(object: { readonly namespace: string; readonly name: string }): string {
  return `${object.namespace}/${object.name}`;
}

/**
 * Joins the objects of files in name order. Of two that define one object, the one of the file that defined it `before` stays, else the first.
 * Yields between two objects.
 */
export function* joinManifests(
  files: Iterable<readonly Manifest[]>,
  before?: World | undefined,
): Generator<undefined, World> {
  const world = {
    namespaces: new Map<string, NamespaceManifest>(),
    nodes: new Map<string, NodeManifest>(),
    services: new Map<string, ServiceManifest>(),
    slices: new Map<string, SliceManifest[]>(),
    exports: new Map<string, ExportManifest>(),
    pods: new Map<string, PodManifest>(),
    policies: new Map<string, PolicyManifest>(),
    identities: new Map<string, IdentityManifest>(),
    refused: [] as RefusedManifest[],
    problems: [] as string[],
  };
  const add = <M extends Manifest>(
    into: Map<string, M>,
    known: ReadonlyMap<string, M> | undefined,
    key: string,
    manifest: M,
  ): void => {
    const first = into.get(key);
    if (!first) return void into.set(key, manifest);
    const incumbent = known?.get(key);
    const isIncumbent = incumbent !== undefined && fileOf(incumbent) === fileOf(manifest);
    const stays = isIncumbent && fileOf(incumbent) !== fileOf(first) ? manifest : first;
    into.set(key, stays);
    world.problems.push(duplicateLine(key, stays, stays === first ? manifest : first));
  };
  for (const manifests of files) {
    for (const manifest of manifests) {
      if (manifest.kind === "Namespace") add(world.namespaces, before?.namespaces, manifest.name, manifest);
      else if (manifest.kind === "Node") add(world.nodes, before?.nodes, manifest.name, manifest);
      else if (manifest.kind === "Service") add(world.services, before?.services, namespacedName(manifest), manifest);
      else if (manifest.kind === "Pod") add(world.pods, before?.pods, namespacedName(manifest), manifest);
      else if (manifest.kind === "Pods") addBatch(world.pods, manifest);
      else if (manifest.kind === "ServiceExport") world.exports.set(namespacedName(manifest), manifest);
      else if (manifest.kind === "EndpointSlice") addSlice(world.slices, manifest);
      else if (manifest.kind === "Identity") add(world.identities, before?.identities, manifest.name, manifest);
      else if (manifest.kind === "Refused") world.refused.push(manifest);
      else add(world.policies, before?.policies, policyName(manifest.policy), manifest);
      yield;
    }
  }
  // Where two slices differ, which of them counts must not depend on when each was heard of.
  for (const slices of world.slices.values()) slices.sort((left, right) => (left.name < right.name ? -1 : 1));
  return world;
}

/** While Cilium moves an endpoint from one batch to another it is in both: the batch of the lower name counts. */
function addBatch(into: Map<string, PodManifest>, { pods }: PodsManifest): void {
  for (const pod of pods) {
    const known = into.get(namespacedName(pod));
    if (known === undefined || pod.source < known.source) into.set(namespacedName(pod), pod);
  }
}

function addSlice(into: Map<string, SliceManifest[]>, slice: SliceManifest): void {
  const key = `${slice.namespace}/${slice.service}`;
  const known = into.get(key);
  if (known === undefined) into.set(key, [slice]);
  else known.push(slice);
}

/** Without the line. */
function fileOf({ source }: Manifest): string {
  return source.slice(0, source.lastIndexOf(":"));
}

function duplicateLine(name: string, first: Manifest, second: Manifest): string {
  const what = second.kind === "Policy" ? name : `${second.kind} ${name}`;
  return `${second.source}: ${what} is already defined in ${first.source}, which stays; remove one of the two`;
}
