// Policy documents as plain data: no model, no parser of the product.
import { parseAllDocuments } from "yaml";
import type { World } from "./world.ts";

export type Raw = Readonly<Record<string, unknown>>;

/** One `spec` of a document, with what its document says of it. */
export interface Spec {
  readonly kind: string;
  /** "" for a clusterwide policy. */
  readonly namespace: string;
  /** `kind/namespace/name`. */
  readonly policy: string;
  /** Before `ingress[0]`: "" or `specs[1].`. */
  readonly path: string;
  readonly audit: boolean;
  readonly body: Raw;
}

export function isThere(raw: Raw, key: string): boolean {
  return raw[key] !== undefined && raw[key] !== null;
}

export function object(raw: Raw, key: string): Raw {
  return isThere(raw, key) ? (raw[key] as Raw) : {};
}

export function list(raw: Raw, key: string): readonly Raw[] {
  return isThere(raw, key) ? (raw[key] as readonly Raw[]) : [];
}

export function texts(raw: Raw, key: string): readonly string[] {
  return isThere(raw, key) ? (raw[key] as readonly string[]) : [];
}

function specsOf(document: Raw): readonly Spec[] {
  const metadata = object(document, "metadata");
  const kind = String(document["kind"]);
  const namespace = kind === "CiliumClusterwideNetworkPolicy" ? "" : String(metadata["namespace"] ?? "default");
  const policy = [kind, ...(namespace === "" ? [] : [namespace]), String(metadata["name"])].join("/");
  const audit = object(metadata, "annotations")["policy.bulkhead.io/audit"] === "true";
  const common = { kind, namespace, policy, audit };
  const one = isThere(document, "spec") ? [{ ...common, path: "", body: object(document, "spec") }] : [];
  const more = list(document, "specs").map((body, index) => ({ ...common, path: `specs[${index}].`, body }));
  return [...one, ...more];
}

const read = new WeakMap<World["policies"][number], readonly Spec[]>();

function specsOfFile(file: World["policies"][number]): readonly Spec[] {
  const known = read.get(file);
  if (known !== undefined) return known;
  const documents = parseAllDocuments(file.text).map((document) => document.toJS() as Raw | null);
  const specs = documents.filter((document) => document !== null).flatMap(specsOf);
  read.set(file, specs);
  return specs;
}

/** Every spec of every document. */
export function specsOfWorld(world: World): readonly Spec[] {
  return world.policies.flatMap(specsOfFile);
}
