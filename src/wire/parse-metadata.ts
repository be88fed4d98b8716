/** The parts that Kubernetes objects share: names, labels, ports. Every refusal says how to mend the document. */
import { formatAddress } from "../model/address.ts";
import type { Protocol } from "../model/resource.ts";
import { isPort, isProtocol, MAX_PORT } from "./address-ports.ts";
import { readAddress, readCidr } from "./addresses.ts";
import type { Fields } from "./fields.ts";
import type { TextMap } from "./manifest.ts";
import { isDnsLabel, isDnsSubdomain, isLabelKey, isLabelValue } from "./names.ts";
import { type Path, quote, Refusal } from "./refusal.ts";

export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels: TextMap;
  readonly annotations: TextMap;
  readonly terminating: boolean;
}

const DEFAULT_NAMESPACE = "default";

/** @param long whether the name may hold dots, as those of pods and nodes may. */
export function readMetadata(root: Fields, long: boolean): Metadata {
  const fields = root.fields("metadata");
  const name = fields.text("name");
  const namespace = fields.text("namespace") || DEFAULT_NAMESPACE;
  if (!(long ? isDnsSubdomain(name) : isDnsLabel(name))) {
    throw fields.refusal("name", `${quote(name)} must be a name of lower-case letters, digits and '-'`);
  }
  if (!isDnsLabel(namespace)) {
    throw fields.refusal("namespace", `${quote(namespace)} must be a name of lower-case letters, digits and '-'`);
  }
  return {
    name,
    namespace,
    labels: readLabels(fields, "labels"),
    annotations: fields.textMap("annotations"),
    terminating: fields.has("deletionTimestamp"),
  };
}

/** Labels in Kubernetes' own syntax, so that they can be written without escaping. */
export function readLabels(parent: Fields, name: string): TextMap {
  const labels = parent.textMap(name);
  for (const [key, value] of labels) {
    const path = [...parent.path, name, key];
    if (!isLabelKey(key))
      throw new Refusal("malformed", "is no label key; use [prefix/]name of letters and digits", path);
    if (!isLabelValue(value)) {
      throw new Refusal("malformed", `${quote(value)} is no label value; use at most 63 of letters, digits, -_.`, path);
    }
  }
  return labels;
}

export function readProtocol(fields: Fields): Protocol {
  const protocol = fields.text("protocol") || "TCP";
  if (!isProtocol(protocol)) throw fields.refusal("protocol", `${quote(protocol)} must be TCP, UDP or SCTP`);
  return protocol;
}

export function readPort(fields: Fields, name: string): number {
  const port = fields.whole(name, MAX_PORT);
  if (!isPort(port)) throw fields.refusal(name, `must be a whole number from 1 to ${MAX_PORT}`);
  return port;
}

/** Canonical addresses of the list `many` (of texts, or of objects with a field `item`), else of the one text `one`. */
export function readAddresses(fields: Fields, many: string, one: string, item?: string): readonly string[] {
  const listed = item === undefined ? fields.texts(many) : fields.objects(many).map((object) => object.text(item));
  const texts = listed.length > 0 ? listed : [fields.text(one)].filter((text) => text !== "");
  const path = (index: number): Path => (listed.length > 0 ? [...fields.path, many, index] : [...fields.path, one]);
  return [...new Set(texts.map((text, index) => readAddress(text, path(index))))];
}

export function readCidrs(fields: Fields, many: string, one: string): readonly string[] {
  const listed = fields.texts(many);
  const texts = listed.length > 0 ? listed : [fields.text(one)].filter((text) => text !== "");
  return texts.map((text) => {
    const { address, bits } = readCidr(text, [...fields.path, listed.length > 0 ? many : one]);
    return `${formatAddress(address)}/${bits}`;
  });
}
