/** `kind: ServiceExport` of the MCS-API, and what is said of the Service that it exports. */
import type { ExportPort } from "../model/resource.ts";
import { type Fields, MAX_INT32 } from "./fields.ts";
import type { ExportedSpec, ExportManifest } from "./manifest.ts";
import { readMetadata, readPort, readProtocol } from "./parse-metadata.ts";
import { HEADLESS } from "./parse-service.ts";
import { quote } from "./refusal.ts";
import { readTrafficDistribution, readTrafficPolicy } from "./service-export.ts";
import { isTimestamp } from "./timestamp.ts";

export function parseServiceExport(root: Fields, source: string): ExportManifest {
  const { name, namespace } = readMetadata(root, false);
  const metadata = root.fields("metadata");
  const createdAt = metadata.text("creationTimestamp");
  if (!isTimestamp(createdAt)) throw metadata.refusal("creationTimestamp", `${quote(createdAt)} is no time`);
  const spec = root.fields("spec");
  const labels = spec.textMap("exportedLabels");
  const annotations = spec.textMap("exportedAnnotations");
  return { kind: "ServiceExport", source, name, namespace, labels, annotations, createdAt };
}

function readExportPort(fields: Fields): ExportPort {
  return {
    name: fields.text("name"),
    protocol: readProtocol(fields),
    appProtocol: fields.text("appProtocol"),
    port: readPort(fields, "port"),
  };
}

/** Of the `spec` of a Service. A word that peers may not know is left out. */
export function readExportedSpec(spec: Fields): ExportedSpec {
  const client = spec.fields("sessionAffinityConfig").fields("clientIP");
  return {
    ports: spec.objects("ports").map(readExportPort),
    type: spec.text("clusterIP") === HEADLESS ? "Headless" : "ClusterSetIP",
    sessionAffinity: spec.text("sessionAffinity") === "ClientIP" ? "ClientIP" : "None",
    timeoutSeconds: client.has("timeoutSeconds") ? client.whole("timeoutSeconds", MAX_INT32) : undefined,
    ipFamilies: spec.texts("ipFamilies").filter((family) => family === "IPv4" || family === "IPv6"),
    internalTrafficPolicy: readTrafficPolicy(spec),
    trafficDistribution: readTrafficDistribution(spec),
  };
}
