/** Files of Kubernetes YAML, document by document: one bad document is one problem line and disturbs no other. */
import { Fields } from "./fields.ts";
import type { Tree } from "./json.ts";
import type { Manifest } from "./manifest.ts";
import { parseNamespace, parseNode } from "./parse-node.ts";
import { parsePod } from "./parse-pod.ts";
import { parseService } from "./parse-service.ts";
import { quote, Refusal } from "./refusal.ts";
import { readYaml, splitDocuments } from "./yaml.ts";

const PARSERS: ReadonlyMap<string, (root: Fields, source: string) => Manifest> = new Map<
  string,
  (root: Fields, source: string) => Manifest
>([
  ["Namespace", parseNamespace],
  ["Service", parseService],
  ["Pod", parsePod],
  ["Node", parseNode],
]);

/** Kinds of v1 that are not read. Any other one of v1 may be one of ours misspelt, or hold some, as List does: that is a problem. */
const FOREIGN_KINDS: ReadonlySet<string> = new Set([
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
]);

/** A document of a kind that is not read. */
interface Foreign {
  readonly line: string;
}

function parseManifest(tree: Tree, source: string): Manifest | Foreign {
  const root = new Fields(tree);
  const kind = root.text("kind");
  const version = root.text("apiVersion");
  const parse = version === "v1" ? PARSERS.get(kind) : undefined;
  if (parse) return parse(root, source);
  const what = `${quote(`${version} ${kind}`)} is not read; use v1 ${[...PARSERS.keys()].join(", ")}`;
  if (version === "v1" && !FOREIGN_KINDS.has(kind)) throw new Refusal("unsupported", what);
  return { line: `${source}: ${what}` };
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
