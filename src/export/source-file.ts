/** One manifest file through its versions: what it says now, and what it said before where it cannot be read now. Pure. */
import { policyName } from "../model/policy.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { ParsedManifests } from "../wire/parse-manifests.ts";
import { parseManifests } from "../wire/parse-manifests.ts";
import { splitDocuments } from "../wire/yaml.ts";

export interface FileState {
  readonly bytes: Uint8Array;
  readonly objects: readonly Manifest[];
  /** One line each: file, line, what is wrong and how to mend it. */
  readonly problems: readonly string[];
  /** Faults that were there when `objects` was last taken over whole: a document never understood takes nothing with it when others go. */
  readonly tolerated: ReadonlySet<string>;
  /** Whether every document of the file was understood at least once since start; kinds that are not read do not count. */
  readonly wholeOnce: boolean;
  /** What each text of a document reads as, lines counted from its own start: unchanged documents are not parsed again. */
  readonly documents: ReadonlyMap<string, ParsedManifests>;
}

type Parsed = Pick<FileState, "objects" | "problems" | "documents"> & Pick<ParsedManifests, "foreign">;

/**
 * The state of a file after reading `bytes`. A document that was fine before and is not now leaves the objects of the last good version
 * in place, as far as the new one does not define them. Yields between two documents, so that the driver may rest.
 */
export function* readFile(name: string, bytes: Uint8Array, previous?: FileState): Generator<undefined, FileState> {
  if (previous && Buffer.compare(previous.bytes, bytes) === 0) return previous;
  const { objects, problems, foreign, documents } = yield* parse(name, bytes, previous?.documents ?? new Map());
  const lines = [...problems, ...foreign];
  const faults = new Set(lines.map((line) => line.slice(lineNumberEnd(name, line))));
  const wholeOnce = problems.length === 0 || previous?.wholeOnce === true;
  const isBroken = previous !== undefined && !faults.isSubsetOf(previous.tolerated);
  if (!isBroken) return { bytes, objects, problems: lines, documents, tolerated: faults, wholeOnce };
  const defined = new Set(objects.map(objectKey));
  const kept = previous.objects.filter((object) => !defined.has(objectKey(object)));
  const staying = lines.map((line) => `${line}; the last good state of the file stays`);
  const { tolerated } = previous;
  return { bytes, objects: [...objects, ...kept], problems: staying, documents, tolerated, wholeOnce };
}

function* parse(name: string, bytes: Uint8Array, known: FileState["documents"]): Generator<undefined, Parsed> {
  const text = textOf(bytes);
  const objects: Manifest[] = [];
  const problems: string[] = [];
  const foreign: string[] = [];
  const documents = new Map<string, ParsedManifests>();
  if (text === undefined) problems.push(`${name}:1: is not UTF-8 text; save it as such`);
  for (const document of splitDocuments(name, text ?? "")) {
    const parsed = known.get(document.text) ?? parseManifests(name, document.text);
    documents.set(document.text, parsed);
    const below = document.firstLine - 1;
    for (const object of parsed.objects) objects.push(placed(object, lowered(name, object.source, below)));
    for (const problem of parsed.problems) problems.push(lowered(name, problem, below));
    for (const line of parsed.foreign) foreign.push(lowered(name, line, below));
    yield;
  }
  return { objects, problems, foreign, documents };
}

function placed(object: Manifest, source: string): Manifest {
  return object.kind === "Policy" ? { ...object, source, policy: { ...object.policy, source } } : { ...object, source };
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Where the line number of `name:<line>...` ends. */
function lineNumberEnd(name: string, line: string): number {
  let end = name.length + 1;
  while (line.charCodeAt(end) >= 48 && line.charCodeAt(end) <= 57) end++;
  return end;
}

/** `name:<line>...` with the line number `below` lines further down. */
function lowered(name: string, line: string, below: number): string {
  const end = lineNumberEnd(name, line);
  return `${name}:${Number(line.slice(name.length + 1, end)) + below}${line.slice(end)}`;
}

function objectKey(object: Manifest): string {
  if (object.kind === "Policy") return `Policy ${policyName(object.policy)}`;
  return `${object.kind} ${"namespace" in object ? object.namespace : ""}/${object.name}`;
}
