/** The configuration directory: one file per remote in Cilium's etcd client format, named as the cluster. */

import { clusterNameFault } from "../model/cluster.ts";
import { isEtcdConfig, parseEtcdConfig } from "../wire/etcd-config.ts";

/** What a file turned out to be. */
export type RemoteFile =
  | { readonly kind: "ignored" }
  /** `named`: the name at least is one that a remote can have. */
  | { readonly kind: "refused"; readonly named: boolean; readonly line: string }
  | { readonly kind: "remote"; readonly text: string; readonly allowedCidrs: readonly string[] | undefined };

/** Certificates and keys lie in the same directory. */
const PEM_START = "-----BEGIN";

const TOMBSTONE = ".disconnected";

/**
 * Name of the file that `bulkhead disconnect` leaves in place of a remote's: its absence is meant. Neither a cluster's name nor a config: Cilium passes over
 * it.
 */
export const tombstoneOf = (cluster: string): string => `${cluster}${TOMBSTONE}`;

/** Reads one file of the directory. Our own name is ignored, as Cilium does: one directory serves all clusters. */
export function readRemoteFile(own: string, path: string, name: string, bytes: Uint8Array): RemoteFile {
  if (name === own) return { kind: "ignored" };
  const text = new TextDecoder().decode(bytes);
  const fault = clusterNameFault(name);
  if (!isEtcdConfig(text) && (fault !== undefined || text.startsWith(PEM_START))) return { kind: "ignored" };
  if (fault !== undefined) {
    return { kind: "refused", named: false, line: `${path}: a cluster's name ${fault}; rename the file` };
  }
  const parsed = parseEtcdConfig(path, text);
  if (!parsed.ok) return { kind: "refused", named: true, line: parsed.rejection.detail };
  return { kind: "remote", text, allowedCidrs: parsed.value.allowedCidrs };
}
