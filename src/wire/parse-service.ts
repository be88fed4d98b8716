/** `kind: Service`. */
import { readAddress, readOptionalAddress } from "./addresses.ts";
import type { Fields } from "./fields.ts";
import type { ManifestServicePort, ServiceManifest } from "./manifest.ts";
import { readAddresses, readLabels, readMetadata, readPort, readProtocol } from "./parse-metadata.ts";
import { quote } from "./refusal.ts";

export const HEADLESS = "None";

function readClusterIps(spec: Fields): readonly string[] {
  const headless = spec.text("clusterIP") === HEADLESS || spec.texts("clusterIPs").includes(HEADLESS);
  return headless ? [HEADLESS] : readAddresses(spec, "clusterIPs", "clusterIP");
}

/** A load balancer's own are left to it where it judges who comes, or wants to see the packets. */
function readExternalIps(root: Fields): readonly string[] {
  const spec = root.fields("spec");
  const open = spec.text("type") === "LoadBalancer" && spec.list("loadBalancerSourceRanges").length === 0;
  const ingress = open ? root.fields("status").fields("loadBalancer").objects("ingress") : [];
  const direct = ingress.filter((fields) => fields.text("ipMode") !== "Proxy");
  const addresses = [
    ...spec.texts("externalIPs").map((text, index) => readAddress(text, [...spec.path, "externalIPs", index])),
    ...direct.map((fields) => readOptionalAddress(fields, "ip")),
  ];
  return [...new Set(addresses.filter((address) => address !== ""))];
}

function readTargetPort(fields: Fields, port: number): number | string {
  const tree = fields.tree("targetPort");
  if (tree === null) return port;
  return typeof tree === "string" ? tree : readPort(fields, "targetPort");
}

function readServicePort(fields: Fields): ManifestServicePort {
  const port = readPort(fields, "port");
  const name = fields.text("name");
  return { name, protocol: readProtocol(fields), port, targetPort: readTargetPort(fields, port) };
}

function readPorts(spec: Fields): readonly ManifestServicePort[] {
  const names = new Set<string>();
  const numbers = new Set<string>();
  return spec.objects("ports").map((fields) => {
    const port = readServicePort(fields);
    const number = `${port.protocol} ${port.port}`;
    if (names.has(port.name)) {
      throw fields.refusal("name", `${quote(port.name)} occurs twice; give every port a name of its own`);
    }
    if (numbers.has(number)) throw fields.refusal("port", `${number} occurs twice; keep one`);
    names.add(port.name);
    numbers.add(number);
    return port;
  });
}

const DEFAULT_SESSION_AFFINITY_SECONDS = 10_800;
export const MAX_SESSION_AFFINITY_SECONDS = 86_400;

/** 0: none. */
function readSessionAffinity(spec: Fields): number {
  const affinity = spec.text("sessionAffinity") || "None";
  if (affinity !== "None" && affinity !== "ClientIP") {
    throw spec.refusal("sessionAffinity", `${quote(affinity)} must be None or ClientIP`);
  }
  if (affinity === "None") return 0;
  const client = spec.fields("sessionAffinityConfig").fields("clientIP");
  if (!client.has("timeoutSeconds")) return DEFAULT_SESSION_AFFINITY_SECONDS;
  const seconds = client.whole("timeoutSeconds", MAX_SESSION_AFFINITY_SECONDS);
  if (seconds > 0) return seconds;
  throw client.refusal("timeoutSeconds", `must be a whole number from 1 to ${MAX_SESSION_AFFINITY_SECONDS}`);
}

export function parseService(root: Fields, source: string): ServiceManifest {
  const { name, namespace, labels, annotations } = readMetadata(root, false);
  const spec = root.fields("spec");
  const externalIps = readExternalIps(root);
  return {
    kind: "Service",
    source,
    name,
    namespace,
    labels,
    annotations,
    selector: readLabels(spec, "selector"),
    clusterIps: readClusterIps(spec),
    ...(externalIps.length > 0 && { externalIps }),
    ports: readPorts(spec),
    sessionAffinitySeconds: readSessionAffinity(spec),
  };
}
