/** What users lose when a value goes: the unit in which the guard counts. */
import { createHash } from "node:crypto";
import { labelString } from "../wire/identity.ts";
import type { ResourceKind, ResourceValue, ResourceValues } from "../wire/resources.ts";

export interface Weight {
  /** Backends, addresses, identities or nodes. */
  readonly weight: number;
  /** Of an address: its node's address, or "". Of an identity: a digest of its labels. Else "". */
  readonly tag: string;
}

const ONE: Weight = { weight: 1, tag: "" };

const WEIGHTS: { readonly [K in ResourceKind]: (value: ResourceValues[K]) => Weight } = {
  nodes: () => ONE,
  identities: ({ labels }) => ({ weight: 1, tag: createHash("sha1").update(labelString(labels)).digest("base64url") }),
  ip: ({ hostAddress }) => ({ weight: 1, tag: hostAddress }),
  services: ({ shared, backends }) => ({ weight: shared ? backends.size : 0, tag: "" }),
  endpointslices: ({ endpoints }) => ({
    weight: endpoints.reduce((sum, one) => sum + one.addresses.length, 0),
    tag: "",
  }),
  serviceexports: () => ONE,
};

export function weigh(kind: ResourceKind, value: ResourceValue): Weight {
  return (WEIGHTS[kind] as (value: ResourceValue) => Weight)(value);
}

/** A cached value that cannot be read any more (a version of ours that judged otherwise wrote it) counts as one. */
export const UNREADABLE: Weight = ONE;
