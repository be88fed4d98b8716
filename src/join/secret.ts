/** Kubernetes Secrets in Cilium's layout. */
import { encodeEtcdConfig } from "../wire/etcd-config.ts";

/** Where Cilium mounts the folder of remotes. */
export const CILIUM_FOLDER = "/var/lib/cilium/clustermesh";
/** What kvstoremesh mounts there; agents and the operator mount the other. */
export const MIRROR_SECRET = "cilium-kvstoremesh";
export const AGENTS_SECRET = "cilium-clustermesh";

/** One document. @param files name -> bytes */
export function secretYaml(
  { name, namespace, comment }: { readonly name: string; readonly namespace: string; readonly comment: string },
  files: ReadonlyMap<string, Uint8Array>,
): string {
  const data = Array.from(files, ([file, bytes]) => `  ${file}: ${Buffer.from(bytes).toString("base64")}\n`);
  return `# ${comment}
apiVersion: v1
kind: Secret
metadata:
  name: ${name}
  namespace: ${namespace}
type: Opaque
data:
${data.join("")}`;
}

/** What Cilium's agents are told of a peer: that the mirror of their own cluster has it. */
export function agentsFile(namespace: string): Uint8Array {
  const at = (suffix: string): string => `${CILIUM_FOLDER}/local-etcd-client${suffix}`;
  return new TextEncoder().encode(
    encodeEtcdConfig({
      endpoints: [`https://clustermesh-apiserver.${namespace}.svc:2379`],
      caFile: at("-ca.crt"),
      certFile: at(".crt"),
      keyFile: at(".key"),
      hostAliases: [],
    }),
  );
}
