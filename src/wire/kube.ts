/** What an API server sends: pages of a list, lines of a watch. The envelope is judged as a whole, each object on its own. */
import { formatAddress, parseAddress } from "../model/address.ts";
import type { Judged } from "../model/resource.ts";
import { Fields } from "./fields.ts";
import { decodeText, JsonNumber, MAX_DEPTH, type Tree } from "./json.ts";
import type { Kept, KubeKind } from "./kube-kinds.ts";
import type { Manifest, PodManifest, RefusedManifest } from "./manifest.ts";
import { SLICE_SERVICE_LABEL } from "./parse-slice.ts";
import { judging, oneLine, quote, Refusal } from "./refusal.ts";

export interface KubePage {
  readonly resourceVersion: string;
  /** Absent on the last page. */
  readonly continue: string | undefined;
  readonly items: readonly KubeItem[];
}

/** An object before it is read. */
export interface KubeItem {
  /** `namespace/name`, or the name. */
  readonly key: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly body: unknown;
}

export type KubeEvent =
  | { readonly type: "put" | "gone"; readonly item: KubeItem }
  /** Everything up to this version was sent. */
  | { readonly type: "bookmark"; readonly resourceVersion: string }
  /** The server cannot go on. */
  | { readonly type: "error"; readonly expired: boolean; readonly detail: string };

/** An object as it was read. */
export interface KubeObject {
  readonly key: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Undefined: of no interest. */
  readonly manifest: Manifest | undefined;
  /** Why the newest version is not taken over, if so. */
  readonly refusal: string | undefined;
}

/** Names only as this pure room may: any JSON object. */
type Json = { readonly [field: string]: unknown };

export function judgePage(kind: KubeKind, bytes: Uint8Array): Judged<KubePage> {
  return judging(kind.plural, () => {
    const page = jsonObject(parse(bytes), "the page");
    if (page["kind"] === "Status") throw new Refusal("malformed", `is a Status: ${oneLine(text(page["message"]))}`);
    const { resourceVersion, continue: token } = jsonObject(page["metadata"], "metadata");
    const items = page["items"] ?? [];
    if (!Array.isArray(items)) throw new Refusal("malformed", "items must be a list");
    if (text(resourceVersion) === "") throw new Refusal("malformed", "metadata.resourceVersion is missing");
    return {
      resourceVersion: text(resourceVersion),
      continue: text(token) === "" ? undefined : text(token),
      items: items.map(itemOf),
    };
  });
}

const CHANGES: ReadonlyMap<unknown, "put" | "gone"> = new Map([
  ["ADDED", "put"],
  ["MODIFIED", "put"],
  ["DELETED", "gone"],
]);
const GONE = 410;

export function judgeEvent(kind: KubeKind, line: Uint8Array): Judged<KubeEvent> {
  return judging(kind.plural, (): KubeEvent => {
    const { type, object } = jsonObject(parse(line), "the line");
    const body = jsonObject(object, "object");
    if (type === "ERROR") {
      return { type: "error", expired: body["code"] === GONE, detail: oneLine(text(body["message"])) };
    }
    if (type === "BOOKMARK") {
      const resourceVersion = text(jsonObject(body["metadata"], "metadata")["resourceVersion"]);
      if (resourceVersion === "") throw new Refusal("malformed", "a bookmark without a version");
      return { type: "bookmark", resourceVersion };
    }
    const change = CHANGES.get(type);
    if (change === undefined) throw new Refusal("malformed", `event ${quote(text(type))} is not known`);
    return { type: change, item: itemOf(body) };
  });
}

function parse(bytes: Uint8Array): unknown {
  const content = decodeText(bytes);
  try {
    // The server is our own cluster's: it writes each name once, and pages of megabytes are to be read at the speed of the machine.
    return JSON.parse(content);
  } catch (error) {
    throw new Refusal("malformed", `is no JSON: ${oneLine(String(error))}`);
  }
}

function jsonObject(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Refusal("malformed", `${what} must be an object`);
  }
  return value as Json;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function itemOf(body: unknown): KubeItem {
  const metadata = jsonObject(jsonObject(body, "an object")["metadata"], "metadata");
  const [name, namespace, uid, resourceVersion] = ["name", "namespace", "uid", "resourceVersion"].map((field) =>
    text(metadata[field]),
  );
  if (!name || !resourceVersion) throw new Refusal("malformed", "an object without a name or a version");
  return { key: namespace ? `${namespace}/${name}` : name, uid: uid ?? "", resourceVersion, body };
}

/** Reads objects of one kind. Values that many objects repeat are kept once. */
export class KubeReader {
  readonly kind: KubeKind;
  readonly #pool = new Pool();

  constructor(kind: KubeKind) {
    this.kind = kind;
  }

  /** @param before the object as it was last read: of one that is refused now, what it said before stays. */
  read(item: KubeItem, before: KubeObject | undefined): KubeObject {
    const { key, uid, resourceVersion } = item;
    const source = sourceOf(this.kind, key);
    const judged = judging(key, () => this.kind.parse(new Fields(this.#tree(item.body)), source));
    if (judged.ok) return { key, uid, resourceVersion, manifest: this.#pool.shared(judged.value), refusal: undefined };
    const last = before?.uid === uid ? before.manifest : undefined;
    const line = `${source}: ${judged.rejection.detail}`;
    if (last !== undefined && last.kind !== "Refused") {
      return { key, uid, resourceVersion, manifest: last, refusal: `${line}; the last good state stays` };
    }
    const manifest = refused(this.kind.kind, item, source);
    return { key, uid, resourceVersion, manifest, refusal: `${line}; what is published for it stays` };
  }

  #tree(body: unknown): Tree {
    const { apiVersion, kind, kept } = this.kind;
    // Items of a list do not say what they are.
    return treeOf({ ...jsonObject(body, "an object"), apiVersion, kind }, kept, 0);
  }
}

/** What a problem line is about, where it begins as `sourceOf` does; undefined: no object of an API server. */
export function subjectOf(
  line: string,
): { readonly plural: string; readonly key: string; readonly message: string } | undefined {
  const [, plural, key, message] = /^kubernetes:([a-z]+)\/([^: ]+): (.*)$/.exec(line) ?? [];
  return plural && key && message ? { plural, key, message } : undefined;
}

/** One printable line. What is one already is not put together anew letter by letter, which every object would keep. */
function sourceOf({ plural }: KubeKind, key: string): string {
  const text = `kubernetes:${plural}/${key}`;
  return /^[ -~]{0,300}$/.test(text) ? text : oneLine(text);
}

/** JSON as the parsers of documents take it, without what is not kept. Throws a Refusal when it is nested too deeply. */
function treeOf(value: unknown, kept: Kept, depth: number): Tree {
  if (depth > MAX_DEPTH) throw new Refusal("malformed", `is nested more than ${MAX_DEPTH} levels deep`);
  if (Array.isArray(value)) return value.map((item) => treeOf(item, kept, depth + 1));
  if (typeof value === "object" && value !== null) {
    const members = new Map<string, Tree>();
    for (const [name, member] of Object.entries(value)) {
      const inner = kept === true ? true : Object.hasOwn(kept, name) ? kept[name] : undefined;
      if (inner !== undefined) members.set(name, treeOf(member, inner, depth + 1));
    }
    return members;
  }
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : new JsonNumber(String(value));
  return typeof value === "string" || typeof value === "boolean" ? value : null;
}

/** As much of an object that was refused as tells what it stands for. */
function refused(what: RefusedManifest["what"], { key, body }: KubeItem, source: string): RefusedManifest {
  const cut = key.indexOf("/");
  const { metadata, status, namespace = "", endpoints } = body as Json;
  const labels = ((metadata as Json)["labels"] ?? {}) as Json;
  const { podIPs, podIP, networking } = (status ?? {}) as Json;
  const batched = Array.isArray(endpoints) ? endpoints.map((one: Json | null) => one?.["networking"]) : [];
  const pairs = [networking, ...batched].map((one) => (one as Json | undefined)?.["addressing"]);
  const listed = [podIPs, ...pairs].flatMap((list) =>
    Array.isArray(list) ? list.flatMap((one: Json | null) => [one?.["ip"], one?.["ipv4"], one?.["ipv6"]]) : [],
  );
  const addresses = [...listed, podIP].map((one) => parseAddress(text(one))).filter((one) => one !== undefined);
  return {
    kind: "Refused",
    what,
    source,
    name: key.slice(cut + 1),
    namespace: cut < 0 ? text(namespace) : key.slice(0, cut),
    labels: new Map(),
    service: text(labels[SLICE_SERVICE_LABEL]),
    addresses: [...new Set(addresses.map(formatAddress))],
  };
}

const MAX_POOLED = 16_384;

/** One copy of what many objects repeat. Nothing depends on it but memory. */
class Pool {
  readonly #known = new Map<string, unknown>();

  /** The same object, its repeated parts shared with others. */
  shared(manifest: Manifest | undefined): Manifest | undefined {
    if (manifest?.kind === "Pods") return { ...manifest, pods: manifest.pods.map((pod) => this.#pod(pod)) };
    return manifest?.kind === "Pod" ? this.#pod(manifest) : manifest;
  }

  #pod(pod: PodManifest): PodManifest {
    const { namespace, nodeName, hostIp, serviceAccount, labels, annotations, containers } = pod;
    return {
      ...pod,
      namespace: this.#one(namespace, namespace),
      nodeName: this.#one(nodeName, nodeName),
      hostIp: this.#one(hostIp, hostIp),
      serviceAccount: this.#one(serviceAccount, serviceAccount),
      labels: this.#one(`labels ${JSON.stringify([...labels])}`, labels),
      annotations: this.#one(`annotations ${JSON.stringify([...annotations])}`, annotations),
      containers: this.#one(`containers ${JSON.stringify(containers)}`, containers),
    };
  }

  #one<T>(key: string, value: T): T {
    const known = this.#known.get(key);
    if (known !== undefined) return known as T;
    if (this.#known.size >= MAX_POOLED) this.#known.clear();
    this.#known.set(key, value);
    return value;
  }
}
