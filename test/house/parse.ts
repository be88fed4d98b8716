// Syntax trees of TypeScript text, from the compiler itself, without reading or resolving anything.
import type { Node, SourceFile } from "typescript/unstable/ast";
import { createVirtualFileSystem } from "typescript/unstable/fs";
import { API } from "typescript/unstable/sync";

const CONFIG = "/house/tsconfig.json";
const OPTIONS = { compilerOptions: { types: [], noLib: true, noResolve: true, allowImportingTsExtensions: true } };

/** Parses files given as path to text; paths are relative, as git names them. */
export function parse(files: Readonly<Record<string, string>>): ReadonlyMap<string, SourceFile> {
  const disk: Record<string, string> = { [CONFIG]: JSON.stringify({ ...OPTIONS, files: Object.keys(files) }) };
  for (const [path, text] of Object.entries(files)) disk[`/house/${path}`] = text;
  const api = new API({ cwd: "/house", fs: createVirtualFileSystem(disk) });
  try {
    const program = api.updateSnapshot({ openProjects: [CONFIG] }).getProject(CONFIG)?.program;
    const trees = Object.keys(files).map((path) => [path, program?.getSourceFile(`/house/${path}`)] as const);
    const missing = trees.filter(([, tree]) => tree === undefined).map(([path]) => path);
    if (missing.length > 0) throw new Error(`the compiler did not parse ${missing.join(" ")}`);
    return new Map(trees as (readonly [string, SourceFile])[]);
  } finally {
    api.close();
  }
}

/** `node` and everything below it, in source order. */
export function* descendants(node: Node): Generator<Node> {
  yield node;
  const children: Node[] = [];
  node.forEachChild((child) => {
    children.push(child);
  });
  for (const child of children) yield* descendants(child);
}

/** The line of `node`, from 1. */
export function lineOf(tree: SourceFile, node: Node): number {
  return tree.text.slice(0, node.getStart(tree)).split("\n").length;
}
