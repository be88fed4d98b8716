/** `kind: Node` and `kind: Namespace`. */
import { readAddress } from "./addresses.ts";
import type { Fields } from "./fields.ts";
import type { NamespaceManifest, NodeManifest } from "./manifest.ts";
import { internalFirst } from "./node.ts";
import { readCidrs, readMetadata } from "./parse-metadata.ts";

/** Address types whose text is a name. */
const NAME_TYPES: ReadonlySet<string> = new Set(["Hostname", "InternalDNS", "ExternalDNS"]);

function readNodeAddresses(status: Fields): NodeManifest["addresses"] {
  const addresses = status.objects("addresses").flatMap((item) => {
    const type = item.text("type");
    if (NAME_TYPES.has(type)) return [];
    return [{ type, address: readAddress(item.text("address"), [...item.path, "address"]) }];
  });
  return internalFirst(addresses);
}

export function parseNode(root: Fields, source: string): NodeManifest {
  const { name, labels } = readMetadata(root, true);
  return {
    kind: "Node",
    source,
    name,
    labels,
    addresses: readNodeAddresses(root.fields("status")),
    podCidrs: readCidrs(root.fields("spec"), "podCIDRs", "podCIDR"),
  };
}

export function parseNamespace(root: Fields, source: string): NamespaceManifest {
  const { name, labels, annotations } = readMetadata(root, false);
  return { kind: "Namespace", source, name, labels, annotations };
}
