/** Cluster names, cluster ids and the numeric identities that belong to a cluster. */

/** Largest cluster id, hence 8 cluster bits above 16 identity bits (Cilium's default). */
export const MAX_CLUSTER_ID = 255;
const IDENTITY_SHIFT = 16;
/** First identity a cluster allocates within its range; lower ones are reserved. */
export const FIRST_ALLOCATED_IDENTITY = 256;
const LONGEST_CLUSTER_NAME = 32;

export interface Cluster {
  readonly name: string;
  /** 1..255. */
  readonly id: number;
}

/** Why `name` cannot be a cluster name, or undefined when it can: 1..32 of [a-z0-9-], alphanumeric at both ends. */
export function clusterNameFault(name: string): string | undefined {
  if (name.length === 0 || name.length > LONGEST_CLUSTER_NAME)
    return `must have 1 to ${LONGEST_CLUSTER_NAME} characters`;
  if (!/^[a-z0-9-]+$/.test(name)) return "may hold only lower-case letters, digits and '-'";
  if (name.startsWith("-") || name.endsWith("-")) return "must start and end with a letter or digit";
  if (name === "default") return "must not be 'default', the name of an unnamed cluster";
  return undefined;
}

export function isClusterId(id: number): boolean {
  return Number.isInteger(id) && id >= 1 && id <= MAX_CLUSTER_ID;
}

/** Inclusive bounds of the numeric identities of a cluster. */
export function identityRange(clusterId: number): { readonly first: number; readonly last: number } {
  const base = clusterId * 2 ** IDENTITY_SHIFT;
  return { first: base + FIRST_ALLOCATED_IDENTITY, last: base + 2 ** IDENTITY_SHIFT - 1 };
}

/** The cluster that owns a numeric identity; 0 for reserved ones. */
export function clusterOfIdentity(identity: number): number {
  return identity >>> IDENTITY_SHIFT;
}
