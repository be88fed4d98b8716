/** YAML of the operator: bounded, plain, and every refusal names file and line. */
import { isNode, LineCounter, parseDocument } from "yaml";
import { MAX_DEPTH, type Tree } from "./json.ts";
import { oneLine, type Path, Refusal } from "./refusal.ts";

/** What an operator's text reads as, or one line: what is wrong, where, and how to mend it. */
export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly line: string };

/** One YAML document of a file. */
export interface YamlText {
  readonly file: string;
  readonly text: string;
  /** Line of the file at which `text` starts, from 1. */
  readonly firstLine: number;
}

type ParsedDocument = ReturnType<typeof parseDocument>;

/** Aliases that one document may expand to; more is an attack or a mistake. */
const MAX_ALIASES = 100;

function treeOf(value: unknown, path: Path): Tree {
  if (path.length > MAX_DEPTH) throw new Refusal("malformed", `nests deeper than ${MAX_DEPTH} levels`);
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (Array.isArray(value)) return value.map((item, index) => treeOf(item, [...path, index]));
  if (!(value instanceof Map))
    throw new Refusal("malformed", "is not plain YAML; use text, numbers, lists and maps", path);
  const members = new Map<string, Tree>();
  for (const [name, member] of value) {
    if (typeof name !== "string") throw new Refusal("malformed", `the name ${String(name)} must be in quotes`, path);
    members.set(name, treeOf(member, [...path, name]));
  }
  return members;
}

/** Offset of the node at `path`, or of the nearest one above it that exists. */
function offsetOf(document: ParsedDocument, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.hasIn(path.slice(0, length)) ? document.getIn(path.slice(0, length), true) : undefined;
    if (isNode(node) && node.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

function lineOf(counter: LineCounter, offset: number): number {
  return Math.max(1, counter.linePos(offset).line);
}

/** Parses one document and reads it with `read`, which may throw a Refusal. */
export function readYaml<T>(source: YamlText, read: (tree: Tree) => T): Read<T> {
  const counter = new LineCounter();
  const refused = (line: number, fault: string): Read<T> => {
    return { ok: false, line: `${source.file}:${source.firstLine + line - 1}: ${fault}` };
  };
  let document: ParsedDocument | undefined;
  try {
    document = parseDocument(source.text, { lineCounter: counter, prettyErrors: false, logLevel: "silent" });
    const [error] = document.errors;
    if (error) return refused(lineOf(counter, error.pos[0]), `bad YAML: ${oneLine(error.message)}`);
    return { ok: true, value: read(treeOf(document.toJS({ mapAsMap: true, maxAliasCount: MAX_ALIASES }), [])) };
  } catch (error) {
    if (error instanceof Refusal && document) {
      return refused(lineOf(counter, offsetOf(document, error.path)), error.message);
    }
    if (error instanceof ReferenceError || error instanceof RangeError) {
      return refused(1, `bad YAML: ${oneLine(error.message)}`);
    }
    throw error;
  }
}

/** Splits a file at its `---` lines; documents without content are left out. */
export function* splitDocuments(file: string, text: string): Generator<YamlText> {
  let lines: string[] = [];
  let firstLine = 1;
  let lineNumber = 0;
  for (const line of linesOf(text)) {
    lineNumber++;
    if (!/^---(\s|$)/.test(line)) {
      lines.push(line);
      continue;
    }
    if (lines.some(hasContent)) yield { file, text: lines.join("\n"), firstLine };
    firstLine = lineNumber;
    lines = [line.slice(3)];
  }
  if (lines.some(hasContent)) yield { file, text: lines.join("\n"), firstLine };
}

/** One by one: a file of many megabytes is not split at once. */
function* linesOf(text: string): Generator<string> {
  let start = 0;
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
    yield text.slice(start, text.charAt(end - 1) === "\r" ? end - 1 : end);
    start = end + 1;
  }
  yield text.slice(start);
}

/** Neither blank nor comment nor directive. */
function hasContent(line: string): boolean {
  const text = line.trimStart();
  return text !== "" && !text.startsWith("#") && !line.startsWith("%");
}
