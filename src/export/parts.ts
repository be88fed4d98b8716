/** What an exporter owns in its etcd, part by part, and how an entry of a part comes to be. Pure. */
import type { Cluster } from "../model/cluster.ts";
import type { Judged } from "../model/resource.ts";
import {
  ENDPOINTS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_SERVICES_PREFIX,
  POLICIES_PREFIX,
} from "../wire/keys.ts";
import { judgeLocalEndpoint } from "../wire/local-endpoint.ts";
import { judgeLocalService } from "../wire/local-service.ts";
import { isGlobalNamespace } from "../wire/manifest.ts";
import { judgePolicy } from "../wire/policy.ts";
import { judging } from "../wire/refusal.ts";
import type { ResourceKind } from "../wire/resources.ts";
import { judge, resource } from "../wire/resources.ts";
import type { AddressOwners } from "./addresses.ts";
import type { IdentityBook, Scope } from "./identities.ts";
import type { Memo } from "./memo.ts";
import type { World } from "./world.ts";

/** The prefixes an exporter owns. */
export type Part = ResourceKind | LocalPart;
/** Read by the agents of this cluster only. */
type LocalPart = "local-identities" | "local-ip" | "local-services" | "endpoints" | "policies";

/** In the order in which they are written: owners before what they own, and a policy after all that it may select. */
export const PARTS: readonly Part[] = [
  "nodes",
  "identities",
  "local-identities",
  "local-ip",
  "ip",
  "services",
  "serviceexports",
  "local-services",
  "endpoints",
  "policies",
];

/** Identities are on the side of the pods that have them, or had them: a number is never taken back. */
export const IDENTITY_PART: Readonly<Record<Scope, Part>> = { shared: "identities", local: "local-identities" };
export const IP_PART: Readonly<Record<Scope, Part>> = { shared: "ip", local: "local-ip" };

/** Numbers of our own are for ever: their keys only come. Those that somebody else gives go when he says so. */
export function isLasting(part: Part, book: IdentityBook | undefined): boolean {
  return book !== undefined && (part === "identities" || part === "local-identities");
}

interface LocalRow {
  readonly prefix: string;
  readonly judge: (suffix: string, value: Uint8Array, cluster: Cluster) => Judged<unknown>;
}

const LOCAL: Readonly<Record<LocalPart, LocalRow>> = {
  "local-identities": {
    prefix: LOCAL_IDENTITIES_PREFIX,
    judge: (suffix, value, cluster) => judge("identities", cluster, suffix, value),
  },
  "local-ip": { prefix: LOCAL_IPS_PREFIX, judge: (suffix, value, cluster) => judge("ip", cluster, suffix, value) },
  "local-services": { prefix: LOCAL_SERVICES_PREFIX, judge: judgeLocalService },
  endpoints: { prefix: ENDPOINTS_PREFIX, judge: judgeLocalEndpoint },
  policies: { prefix: POLICIES_PREFIX, judge: judgePolicy },
};

function isLocal(part: Part): part is LocalPart {
  return Object.hasOwn(LOCAL, part);
}

export function partPrefix(part: Part, cluster: string): string {
  return isLocal(part) ? LOCAL[part].prefix : resource(part).statePrefix(cluster);
}

export type Desired =
  | { readonly part: Part; readonly key: string; readonly value: Uint8Array }
  /** Cannot be published as it stands: whatever is there for it stays. */
  | { readonly part: Part; readonly key: string; readonly refused: true }
  | { readonly problem: string; readonly conflict?: ConflictKind };

/** Two objects that cannot both have what they claim: an address of a pod, a name of a port, an address of a service. */
export const CONFLICT_KINDS = ["address", "port-name", "frontend"] as const;
export type ConflictKind = (typeof CONFLICT_KINDS)[number];

export interface DesiredInput {
  readonly cluster: Cluster;
  readonly world: World;
  readonly owners: AddressOwners;
  /** Gives a number to every label set that has none; absent: the world says all numbers. */
  readonly book: IdentityBook | undefined;
  /** Of one cluster; absent: all is made anew. */
  readonly memo?: Memo;
}

export function prefixOf({ cluster }: DesiredInput, part: Part): string {
  return partPrefix(part, cluster.name);
}

/** What peers would refuse is refused here, where somebody can mend it. `where` opens the problem line. */
export function* vetted(
  input: DesiredInput,
  part: Part,
  suffix: string,
  where: string,
  encode: () => Uint8Array,
): Generator<Desired> {
  const key = prefixOf(input, part) + suffix;
  const encoded = judging(key, encode);
  const judged: Judged<unknown> = encoded.ok ? judgedAs(input, part, suffix, encoded.value) : encoded;
  if (encoded.ok && judged.ok) return yield { part, key, value: encoded.value };
  yield { part, key, refused: true };
  if (!judged.ok) yield { problem: `${where}: ${judged.rejection.detail}; it is not published as it stands` };
}

function judgedAs(input: DesiredInput, part: Part, suffix: string, value: Uint8Array): Judged<unknown> {
  const { cluster } = input;
  return isLocal(part) ? LOCAL[part].judge(suffix, value, cluster) : judge(part, cluster, suffix, value);
}

/** Pods of a namespace that is not global stay unknown to other clusters, as with Cilium. */
export function isShared(world: World, namespace: string): boolean {
  const manifest = world.namespaces.get(namespace);
  return manifest !== undefined && isGlobalNamespace(manifest);
}
