/** The objects of all manifest files put together: what this cluster is told to run. Pure. */
import { policyName } from "../model/policy.ts";
import type {
  Manifest,
  NamespaceManifest,
  NodeManifest,
  PodManifest,
  PolicyManifest,
  ServiceManifest,
} from "../wire/manifest.ts";

export interface World {
  /** By name. */
  readonly namespaces: ReadonlyMap<string, NamespaceManifest>;
  readonly nodes: ReadonlyMap<string, NodeManifest>;
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, ServiceManifest>;
  readonly pods: ReadonlyMap<string, PodManifest>;
  /** By `policyName()`. */
  readonly policies: ReadonlyMap<string, PolicyManifest>;
  readonly problems: readonly string[];
}

export function namespacedName(object: { readonly namespace: string; readonly name: string }): string {
  return `${object.namespace}/${object.name}`;
}

/** Joins the objects of files in name order. Of two that define one object the first stays. Yields between two objects. */
export function* joinManifests(files: Iterable<readonly Manifest[]>): Generator<undefined, World> {
  const world = {
    namespaces: new Map<string, NamespaceManifest>(),
    nodes: new Map<string, NodeManifest>(),
    services: new Map<string, ServiceManifest>(),
    pods: new Map<string, PodManifest>(),
    policies: new Map<string, PolicyManifest>(),
    problems: [] as string[],
  };
  const add = <M extends Manifest>(into: Map<string, M>, key: string, manifest: M): void => {
    const first = into.get(key);
    if (!first) into.set(key, manifest);
    else world.problems.push(duplicateLine(key, first, manifest));
  };
  for (const manifests of files) {
    for (const manifest of manifests) {
      if (manifest.kind === "Namespace") add(world.namespaces, manifest.name, manifest);
      else if (manifest.kind === "Node") add(world.nodes, manifest.name, manifest);
      else if (manifest.kind === "Service") add(world.services, namespacedName(manifest), manifest);
      else if (manifest.kind === "Pod") add(world.pods, namespacedName(manifest), manifest);
      else add(world.policies, policyName(manifest.policy), manifest);
      yield;
    }
  }
  return world;
}

function duplicateLine(name: string, first: Manifest, second: Manifest): string {
  const what = second.kind === "Policy" ? name : `${second.kind} ${name}`;
  return `${second.source}: ${what} is already defined in ${first.source}, which stays; remove one of the two`;
}
