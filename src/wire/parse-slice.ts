/** `kind: EndpointSlice`. */
import { isV4, parseAddress } from "../model/address.ts";
import type { ServicePort } from "../model/resource.ts";
import { readAddress } from "./addresses.ts";
import type { Fields } from "./fields.ts";
import type { SliceEndpoint, SliceManifest } from "./manifest.ts";
import { readMetadata, readPort, readProtocol } from "./parse-metadata.ts";
import { quote } from "./refusal.ts";

export const SLICE_SERVICE_LABEL = "kubernetes.io/service-name";

/** Conditions as Kubernetes reads them: unknown is ready, and what does not say whether it serves does so while it is ready. */
function readEndpoint(fields: Fields, isOfFamily: (address: string) => boolean): SliceEndpoint {
  const conditions = fields.fields("conditions");
  const ready = conditions.has("ready") ? conditions.flag("ready") : true;
  const addresses = fields.texts("addresses").map((text, index) => {
    const path = [...fields.path, "addresses", index];
    const address = readAddress(text, path);
    if (isOfFamily(address)) return address;
    throw fields.refusal("addresses", `${quote(text)} is not of the slice's addressType`);
  });
  const serving = conditions.has("serving") ? conditions.flag("serving") : ready;
  return { addresses, ready, serving, terminating: conditions.flag("terminating"), ...readPlace(fields) };
}

function readPlace(fields: Fields): Pick<SliceEndpoint, "hostname" | "zone" | "forZones"> {
  const [hostname, zone] = [fields.text("hostname"), fields.text("zone")];
  const forZones = fields
    .fields("hints")
    .objects("forZones")
    .map((hint) => hint.text("name"));
  return { ...(hostname && { hostname }), ...(zone && { zone }), ...(forZones.length > 0 && { forZones }) };
}

/** A port without a number stands for all of them, which no service address has. */
function readSlicePorts(root: Fields): readonly ServicePort[] {
  return root.objects("ports").flatMap((fields) => {
    if (!fields.has("port")) return [];
    return [{ name: fields.text("name"), protocol: readProtocol(fields), port: readPort(fields, "port") }];
  });
}

export function parseSlice(root: Fields, source: string): SliceManifest {
  const { name, namespace, labels } = readMetadata(root, true);
  const type = root.text("addressType");
  if (type !== "IPv4" && type !== "IPv6") {
    throw root.refusal("addressType", `${quote(type)} must be IPv4 or IPv6; names cannot be load-balanced`);
  }
  const isOfFamily = (text: string): boolean => {
    const address = parseAddress(text);
    return address !== undefined && isV4(address) === (type === "IPv4");
  };
  return {
    kind: "EndpointSlice",
    source,
    name,
    namespace,
    labels,
    service: labels.get(SLICE_SERVICE_LABEL) ?? "",
    ports: readSlicePorts(root),
    endpoints: root.objects("endpoints").map((fields) => readEndpoint(fields, isOfFamily)),
  };
}
