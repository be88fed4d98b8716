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

function parseManifest(tree: Tree, source: string): Manifest {
  const root = new Fields(tree);
  const kind = root.text("kind");
  const parse = PARSERS.get(kind);
  if (root.text("apiVersion") !== "v1" || !parse) {
    const given = quote(`${root.text("apiVersion")} ${kind}`);
    throw new Refusal("unsupported", `${given} is not read; use v1 ${[...PARSERS.keys()].join(", ")}`);
  }
  return parse(root, source);
}

export interface ParsedManifests {
  readonly objects: readonly Manifest[];
  /** One line each: file, line, what is wrong and how to mend it. */
  readonly problems: readonly string[];
}

/** Reads every document of a file. Of two documents that define one object both are returned. */
export function parseManifests(file: string, text: string): ParsedManifests {
  const objects: Manifest[] = [];
  const problems: string[] = [];
  for (const document of splitDocuments(file, text)) {
    const source = `${file}:${document.firstLine}`;
    const read = readYaml(document, (tree) => (tree === null ? undefined : parseManifest(tree, source)));
    if (!read.ok) problems.push(read.line);
    else if (read.value) objects.push(read.value);
  }
  return { objects, problems };
}
