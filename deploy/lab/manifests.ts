/**
 * Manifests in, manifests out. In: ordinary Kubernetes YAML that a person wrote. Out: one file per object in the folder that the
 * cluster's exporter reads, each pod with the node, addresses and condition that a scheduler and a kubelet would have given it.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments, stringify } from "yaml";
import { UserError } from "../../src/runtime/user-error.ts";
import type { ClusterPlan, NodePlan, Pair } from "./plan.ts";

type Json = Readonly<Record<string, unknown>>;

export interface InputObject {
  /** `file (document n)`. */
  readonly source: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly body: Json;
}

export interface InputPod extends InputObject {
  readonly command: readonly string[];
}

const POLICY_KINDS = ["NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"];
const KINDS = ["Namespace", "Service", "Pod", ...POLICY_KINDS];

/** Every object of one text. Throws a UserError that names the document: what a person wrote for the lab is all or nothing. */
export function parseInput(file: string, text: string): readonly InputObject[] {
  return parseAllDocuments(text).flatMap((document, index) => {
    const source = `${file} (document ${index + 1})`;
    const problem = document.errors[0]?.message.split("\n", 1)[0];
    if (problem !== undefined) throw new UserError(`mesh: ${source}: ${problem}; mend the YAML there`);
    const body = document.toJS() as Json | null;
    return body === null ? [] : [inputObject(source, body)];
  });
}

function inputObject(source: string, body: Json): InputObject {
  const { kind, metadata } = body as { readonly kind?: unknown; readonly metadata?: Json };
  const name = metadata?.["name"];
  if (typeof kind !== "string" || !KINDS.includes(kind)) {
    throw new UserError(`mesh: ${source}: kind ${String(kind)} is not one the lab runs; use ${KINDS.join(", ")}`);
  }
  if (typeof name !== "string")
    throw new UserError(`mesh: ${source}: metadata.name is missing; give the ${kind} a name`);
  const namespace = metadata?.["namespace"];
  return { source, kind, name, body, namespace: typeof namespace === "string" ? namespace : "" };
}

/** A pod with the command of its first container. */
export function inputPod(object: InputObject): InputPod {
  const spec = object.body["spec"] as { readonly containers?: readonly { readonly command?: unknown }[] } | undefined;
  const words = spec?.containers?.[0]?.command;
  if (!Array.isArray(words) || words.length === 0 || !words.every((word) => typeof word === "string")) {
    throw new UserError(
      `mesh: ${object.source}: spec.containers[0].command is missing; the lab runs it, so name a program and its words`,
    );
  }
  return { ...object, command: words };
}

const INPUT = fileURLToPath(new URL("manifests", import.meta.url));

/** What a person wrote for a cluster: all objects of `deploy/lab/manifests/<cluster>`, by file name. */
export function readInput(cluster: string): readonly InputObject[] {
  const directory = join(INPUT, cluster);
  const files = readdirSync(directory)
    .filter((file) => file.endsWith(".yaml"))
    .sort();
  return files.flatMap((file) => parseInput(join(directory, file), readFileSync(join(directory, file), "utf8")));
}

/** What the scheduler and the kubelet say of a pod. */
export interface Placement {
  readonly node: NodePlan;
  readonly addresses: Pair;
  readonly isReady: boolean;
}

export function placedPod(object: InputObject, { node, addresses, isReady }: Placement): Json {
  return {
    ...object.body,
    spec: { ...(object.body["spec"] as Json), nodeName: node.name },
    status: {
      phase: "Running",
      hostIP: node.addresses[0],
      podIP: addresses[0],
      podIPs: addresses.map((ip) => ({ ip })),
      conditions: [{ type: "Ready", status: isReady ? "True" : "False" }],
    },
  };
}

/** The generated pods have no node of their own: the first one declares their ranges. */
export function nodeManifest(cluster: ClusterPlan, node: NodePlan): Json {
  const podCIDRs = node.number === 1 ? [...node.podCidrs, ...cluster.paperCidrs] : [...node.podCidrs];
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: node.name, labels: { "kubernetes.io/hostname": node.name } },
    spec: { podCIDR: node.podCidrs[0], podCIDRs },
    status: {
      addresses: [
        ...node.addresses.map((address) => ({ type: "InternalIP", address })),
        { type: "Hostname", address: node.name },
      ],
    },
  };
}

/** Name of the file of one object; readers of the folder never see half of it. */
export function objectFile(kind: string, namespace: string, name: string): string {
  return `${[kind.toLowerCase(), namespace, name].filter((part) => part !== "").join(".")}.yaml`;
}

export function publishText(cluster: ClusterPlan, file: string, text: string): void {
  const partial = join(cluster.manifests, `.${file}.partial`);
  writeFileSync(partial, text);
  renameSync(partial, join(cluster.manifests, file));
}

export function publishObject(
  cluster: ClusterPlan,
  object: Pick<InputObject, "kind" | "namespace" | "name">,
  body: Json,
): void {
  publishText(cluster, objectFile(object.kind, object.namespace, object.name), stringify(body));
}

export function withdrawObject(cluster: ClusterPlan, object: Pick<InputObject, "kind" | "namespace" | "name">): void {
  rmSync(join(cluster.manifests, objectFile(object.kind, object.namespace, object.name)), { force: true });
}
