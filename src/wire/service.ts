/** Shared services: `cilium/state/services/v1/<cluster>/<namespace>/<name>` -> what that cluster offers. */
import type { Cluster } from "../model/cluster.ts";
import type { ClusterService } from "../model/resource.ts";
import { readAddressPorts, writeAddressPorts } from "./address-ports.ts";
import { Fields, MAX_UINT32, Shape } from "./fields.ts";
import { encodeGoJson, type GoValue, sortedMap } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { isDnsLabel } from "./names.ts";
import { refuseForeignCluster } from "./ownership.ts";
import { quote, Refusal } from "./refusal.ts";

const SHAPE = new Shape([
  "cluster",
  "namespace",
  "name",
  "frontends",
  "backends",
  "hostnames",
  "zones",
  "labels",
  "selector",
  "includeExternal",
  "shared",
  "clusterID",
]);

/** The two names of a service, checked against its key `<namespace>/<name>`. */
export function readServiceName(fields: Fields, suffix: string): { readonly namespace: string; readonly name: string } {
  const namespace = fields.text("namespace");
  const name = fields.text("name");
  if (!isDnsLabel(namespace)) throw new Refusal("malformed", `${quote(namespace)} is no namespace`, ["namespace"]);
  if (!isDnsLabel(name)) throw new Refusal("malformed", `${quote(name)} is no service name`, ["name"]);
  if (`${namespace}/${name}` !== suffix) {
    throw new Refusal("wrong-key", `the value is of ${namespace}/${name}, the key of ${quote(suffix)}`);
  }
  return { namespace, name };
}

/** Throws a Refusal. `shared: false` is accepted: it withdraws the service. */
export function decodeService(cluster: Cluster, suffix: string, value: Uint8Array): ClusterService {
  const fields = new Fields(parseJson(value), [], SHAPE);
  const clusterId = fields.whole("clusterID", MAX_UINT32);
  refuseForeignCluster(cluster, fields.text("cluster"), clusterId);
  return {
    cluster: cluster.name,
    clusterId,
    ...readServiceName(fields, suffix),
    frontends: readAddressPorts(fields, "frontends"),
    backends: readAddressPorts(fields, "backends"),
    shared: fields.flag("shared"),
    labels: fields.textMap("labels"),
    selector: fields.textMap("selector"),
  };
}

function writeZone({ zone, forZones }: { readonly zone: string; readonly forZones: readonly string[] }): GoValue {
  return { zone, forZones: forZones.map((name) => ({ name })) };
}

/** Written with `includeExternal` true as Cilium does: readers do not consult it. */
export function encodeService(service: ClusterService): Uint8Array {
  return encodeGoJson({
    cluster: service.cluster,
    namespace: service.namespace,
    name: service.name,
    frontends: writeAddressPorts(service.frontends),
    backends: writeAddressPorts(service.backends),
    hostnames: service.hostnames && sortedMap(service.hostnames),
    zones: service.zones && sortedMap(new Map([...service.zones].map(([address, zone]) => [address, writeZone(zone)]))),
    labels: sortedMap(service.labels),
    selector: sortedMap(service.selector),
    includeExternal: true,
    shared: service.shared,
    clusterID: service.clusterId,
  });
}
