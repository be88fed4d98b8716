/** `kind: Pod`. */
import { readOptionalAddress } from "./addresses.ts";
import type { Fields } from "./fields.ts";
import type { ContainerManifest, ContainerPort, PodManifest } from "./manifest.ts";
import { readAddresses, readMetadata, readPort, readProtocol } from "./parse-metadata.ts";

const ENDED_PHASES: ReadonlySet<string> = new Set(["Succeeded", "Failed"]);

function readContainerPort(fields: Fields): ContainerPort {
  return {
    name: fields.text("name"),
    containerPort: readPort(fields, "containerPort"),
    protocol: readProtocol(fields),
  };
}

function readContainer(fields: Fields): ContainerManifest {
  return {
    name: fields.text("name"),
    command: fields.texts("command"),
    args: fields.texts("args"),
    ports: fields.objects("ports").map(readContainerPort),
  };
}

function readReady(status: Fields, byDefault: boolean): boolean {
  const condition = status.objects("conditions").find((item) => item.text("type") === "Ready");
  return condition ? condition.text("status") === "True" : byDefault;
}

export function parsePod(root: Fields, source: string): PodManifest {
  const { name, namespace, labels, annotations, terminating } = readMetadata(root, true);
  const spec = root.fields("spec");
  const status = root.fields("status");
  const ended = ENDED_PHASES.has(status.text("phase"));
  const podIps = ended ? [] : readAddresses(status, "podIPs", "podIP", "ip");
  return {
    kind: "Pod",
    source,
    name,
    namespace,
    labels,
    annotations,
    serviceAccount: spec.text("serviceAccountName") || spec.text("serviceAccount") || "default",
    nodeName: spec.text("nodeName"),
    podIps,
    hostIp: readOptionalAddress(status, "hostIP"),
    ready: !ended && readReady(status, podIps.length > 0),
    terminating,
    containers: spec.objects("containers").map(readContainer),
  };
}
