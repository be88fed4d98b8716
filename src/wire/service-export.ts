/** Exported services (MCS-API): `cilium/state/serviceexports/v1/<cluster>/<namespace>/<name>` -> what the cluster exports of a service. */
import type { Cluster } from "../model/cluster.ts";
import type { ExportPort, ServiceExport } from "../model/resource.ts";
import { isPort, MAX_PORT } from "./address-ports.ts";
import { Fields, MAX_INT32, MAX_UINT32, Shape } from "./fields.ts";
import { encodeGoJson, sortedMap } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { refuseForeignClusterName } from "./ownership.ts";
import { quote, Refusal } from "./refusal.ts";
import { readServiceName } from "./service.ts";
import { isTimestamp } from "./timestamp.ts";

/** Cilium writes labels and annotations under two names each; no other name may occur in two cases. */
const SHAPE = new Shape([
  "cluster",
  "name",
  "namespace",
  "annotations",
  "labels",
  "Labels",
  "Annotations",
  "exportCreationTimestamp",
  "ports",
  "type",
  "sessionAffinity",
  "sessionAffinityConfig",
  "ipFamilies",
  "internalTrafficPolicy",
  "trafficDistribution",
]);
const PORT_SHAPE = new Shape(["name", "protocol", "appProtocol", "port"]);
const CONFIG_SHAPE = new Shape(["clientIP"]);
const CLIENT_SHAPE = new Shape(["timeoutSeconds"]);

function readTimestamp(fields: Fields): string {
  const text = fields.text("exportCreationTimestamp");
  if (isTimestamp(text)) return text;
  throw fields.refusal("exportCreationTimestamp", `${quote(text)} is no time, such as 2026-03-02T10:11:12Z`);
}

/** The lower-case name counts, the other one when that is empty. */
function readMap(fields: Fields, name: string, older: string): ReadonlyMap<string, string> {
  const map = fields.textMap(name);
  const other = fields.textMap(older);
  return map.size > 0 ? map : other;
}

function readPort(fields: Fields): ExportPort {
  const port = fields.whole("port", MAX_UINT32);
  if (!isPort(port)) throw new Refusal("bad-port", `port ${port} is not from 1 to ${MAX_PORT}`, fields.path);
  return {
    name: fields.text("name"),
    protocol: fields.text("protocol"),
    appProtocol: fields.text("appProtocol"),
    port,
  };
}

/** A word that we do not know is one of a newer peer: the field is left out, the export stays. */
function readWord<const W extends string>(fields: Fields, name: string, words: readonly W[]): W | undefined {
  const text = fields.text(name);
  return words.find((word) => word === text);
}

export function readTrafficPolicy(fields: Fields): ServiceExport["internalTrafficPolicy"] {
  return readWord(fields, "internalTrafficPolicy", ["Cluster", "Local"]);
}

export function readTrafficDistribution(fields: Fields): ServiceExport["trafficDistribution"] {
  return readWord(fields, "trafficDistribution", ["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

/** Throws a Refusal. */
export function decodeServiceExport(cluster: Cluster, suffix: string, value: Uint8Array): ServiceExport {
  const fields = new Fields(parseJson(value), [], SHAPE);
  refuseForeignClusterName(cluster, fields.text("cluster"));
  const client = fields.fields("sessionAffinityConfig", CONFIG_SHAPE).fields("clientIP", CLIENT_SHAPE);
  return {
    cluster: cluster.name,
    ...readServiceName(fields, suffix),
    labels: readMap(fields, "labels", "Labels"),
    annotations: readMap(fields, "annotations", "Annotations"),
    createdAt: readTimestamp(fields),
    ports: fields.objects("ports", PORT_SHAPE).map(readPort),
    type: readWord(fields, "type", ["ClusterSetIP", "Headless"]),
    sessionAffinity: readWord(fields, "sessionAffinity", ["ClientIP", "None"]),
    timeoutSeconds: client.has("timeoutSeconds") ? client.whole("timeoutSeconds", MAX_INT32) : undefined,
    ipFamilies: fields.texts("ipFamilies").filter((family) => family === "IPv4" || family === "IPv6"),
    internalTrafficPolicy: readTrafficPolicy(fields),
    trafficDistribution: readTrafficDistribution(fields),
  };
}

const unlessEmpty = <T extends { readonly size: number }>(map: T): T | undefined => (map.size > 0 ? map : undefined);

export function encodeServiceExport(exported: ServiceExport): Uint8Array {
  const labels = unlessEmpty(sortedMap(exported.labels));
  const annotations = unlessEmpty(sortedMap(exported.annotations));
  const { timeoutSeconds } = exported;
  return encodeGoJson({
    cluster: exported.cluster,
    name: exported.name,
    namespace: exported.namespace,
    annotations,
    labels,
    Labels: labels,
    Annotations: annotations,
    exportCreationTimestamp: exported.createdAt,
    ports: exported.ports.map(({ name, protocol, appProtocol, port }) => ({
      name: name || undefined,
      protocol: protocol || undefined,
      appProtocol: appProtocol || undefined,
      port,
    })),
    type: exported.type ?? "",
    sessionAffinity: exported.sessionAffinity ?? "",
    sessionAffinityConfig: timeoutSeconds === undefined ? undefined : { clientIP: { timeoutSeconds } },
    ipFamilies: exported.ipFamilies.length > 0 ? exported.ipFamilies : undefined,
    internalTrafficPolicy: exported.internalTrafficPolicy,
    trafficDistribution: exported.trafficDistribution,
  });
}
