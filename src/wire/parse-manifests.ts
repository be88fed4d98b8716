/** Files of Kubernetes YAML, document by document: one bad document is one problem line and disturbs no other. */
import { Fields } from "./fields.ts";
import type { Tree } from "./json.ts";
import type { Manifest } from "./manifest.ts";
import { parseNamespace, parseNode } from "./parse-node.ts";
import { parsePod } from "./parse-pod.ts";
import { POLICY_KINDS, parsePolicyManifest } from "./parse-policy.ts";
import { parseService } from "./parse-service.ts";
import { quote, Refusal } from "./refusal.ts";
import { readYaml, splitDocuments } from "./yaml.ts";

type Parse = (root: Fields, source: string) => Manifest;

/** By `apiVersion kind`. */
const PARSERS: ReadonlyMap<string, Parse> = new Map<string, Parse>([
  ["v1 Namespace", parseNamespace],
  ["v1 Service", parseService],
  ["v1 Pod", parsePod],
  ["v1 Node", parseNode],
  ...POLICY_KINDS.map((kind): [string, Parse] => [kind, parsePolicyManifest]),
]);

const USE =
  "use v1 Namespace, Service, Pod, Node, networking.k8s.io/v1 NetworkPolicy, cilium.io/v2 CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy";

/**
 * Kinds that are not read, of groups of which others are. Any other one of these groups may be one of ours misspelt, hold some, as List does,
 * or ask for something that nothing here enforces: that is a problem.
 */
const FOREIGN_KINDS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  [
    "",
    new Set([
      "Binding",
      "ConfigMap",
      "Endpoints",
      "Event",
      "LimitRange",
      "PersistentVolume",
      "PersistentVolumeClaim",
      "PodTemplate",
      "ReplicationController",
      "ResourceQuota",
      "Secret",
      "ServiceAccount",
    ]),
  ],
  ["networking.k8s.io", new Set(["Ingress", "IngressClass", "IPAddress", "ServiceCIDR"])],
  ["policy.networking.k8s.io", new Set()],
  [
    "cilium.io",
    new Set([
      "CiliumEndpoint",
      "CiliumEndpointSlice",
      "CiliumIdentity",
      "CiliumL2AnnouncementPolicy",
      "CiliumLoadBalancerIPPool",
      "CiliumNode",
      "CiliumNodeConfig",
      "CiliumPodIPPool",
    ]),
  ],
]);

function groupOf(version: string): string {
  return version.includes("/") ? version.slice(0, version.indexOf("/")) : "";
}

/** Whether a kind may be passed over: nothing that was asked for is missing without it. */
function isForeign(version: string, kind: string): boolean {
  if (/NetworkPolic/i.test(kind)) return false;
  if (kind.startsWith("CiliumBGP")) return true;
  const foreign = FOREIGN_KINDS.get(groupOf(version));
  return foreign?.has(kind) ?? true;
}

/** A document of a kind that is not read. */
interface Foreign {
  readonly line: string;
}

function parseManifest(tree: Tree, source: string): Manifest | Foreign {
  const root = new Fields(tree);
  const kind = root.text("kind");
  const version = root.text("apiVersion");
  const what = `${version} ${kind}`;
  const parse = PARSERS.get(what);
  if (parse) return parse(root, source);
  const line = `${quote(what)} is not read; ${USE}`;
  if (isForeign(version, kind)) return { line: `${source}: ${line}` };
  throw new Refusal("unsupported", line);
}

export interface ParsedManifests {
  readonly objects: readonly Manifest[];
  /** One line each: file, line, what is wrong and how to mend it. */
  readonly problems: readonly string[];
  /** Documents of kinds that are not read, one line each: no object is missing because of them. */
  readonly foreign: readonly string[];
}

/** Reads every document of a file. Of two documents that define one object both are returned. */
export function parseManifests(file: string, text: string): ParsedManifests {
  const objects: Manifest[] = [];
  const problems: string[] = [];
  const foreign: string[] = [];
  for (const document of splitDocuments(file, text)) {
    const source = `${file}:${document.firstLine}`;
    const read = readYaml(document, (tree) => (tree === null ? undefined : parseManifest(tree, source)));
    if (!read.ok) problems.push(read.line);
    else if (read.value && "line" in read.value) foreign.push(read.value.line);
    else if (read.value) objects.push(read.value);
  }
  return { objects, problems, foreign };
}
