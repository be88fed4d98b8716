/** An exporter that reads an API server in memory: what is put in as YAML, and what comes of it in the etcd. */
import type { ExporterSettings } from "../../src/export/exporter.ts";
import { faultyKube, type KubeFaults } from "../../src/kube/faulty.ts";
import { memoryKube, pathOfKind, apply as put } from "../support/kube-objects.ts";
import { Scene } from "./scene.ts";

export const BASE = `
apiVersion: v1
kind: Namespace
metadata: {name: billing, labels: {team: fin, kubernetes.io/metadata.name: billing}}
---
apiVersion: v1
kind: Node
metadata: {name: osk-w1, labels: {kubernetes.io/hostname: osk-w1}}
spec: {podCIDR: 10.77.3.0/24, podCIDRs: [10.77.3.0/24, "fd00:77:3::/64"]}
status:
  addresses: [{type: Hostname, address: osk-w1}, {type: InternalIP, address: 192.0.2.14}]
`;

export const LEDGER_POD = `
apiVersion: v1
kind: Pod
metadata:
  name: ledger-5c9d
  namespace: billing
  labels: {app: ledger, pod-template-hash: 5c9d}
spec:
  nodeName: osk-w1
  serviceAccountName: books
  containers: [{name: main, image: ledger, ports: [{name: web, containerPort: 8080}, {containerPort: 9090}]}]
status:
  phase: Running
  hostIP: 192.0.2.14
  podIP: 10.77.3.81
  podIPs: [{ip: 10.77.3.81}, {ip: "fd00:77:3::51"}]
  conditions: [{type: Ready, status: "True"}]
`;

export const LEDGER_SERVICE = `
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: billing, annotations: {service.cilium.io/global: "true"}}
spec:
  type: ClusterIP
  clusterIP: 10.140.9.3
  clusterIPs: [10.140.9.3]
  selector: {app: ledger}
  ports: [{name: http, port: 80, targetPort: web, protocol: TCP}]
`;

export const LEDGER_SLICE = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ledger-x7k2p, namespace: billing, labels: {kubernetes.io/service-name: ledger}}
addressType: IPv4
endpoints:
  - {addresses: [10.77.3.81], conditions: {ready: true, serving: true, terminating: false}, nodeName: osk-w1}
ports: [{name: http, port: 8080, protocol: TCP}]
`;

/** One node, one global service, one pod behind it. */
export const ALL = [BASE, LEDGER_POD, LEDGER_SERVICE, LEDGER_SLICE].join("---");

const SERVICE = "cilium/state/services/v1/osaka/";

/** What applies a text, or removes an object, and gives it time to be published. */
export function changes(kube: ReturnType<typeof memoryKube>, scene: Scene) {
  const apply = async (more: string): Promise<void> => {
    put(kube, more);
    await scene.clock.advance(1_000);
  };
  const remove = async (kind: string, key: string): Promise<void> => {
    kube.remove(pathOfKind(kind), key);
    await scene.clock.advance(1_000);
  };
  return { apply, remove };
}

export async function cluster(text: string, faults: KubeFaults = {}, times: Partial<ExporterSettings> = {}) {
  const kube = memoryKube();
  put(kube, text);
  const scene = new Scene();
  const { exporter } = await scene.synced({ ...scene.kubernetes(faultyKube(kube, faults)), ...times });
  const value = async (key: string) => {
    const text = await scene.text(key);
    return text === undefined ? undefined : JSON.parse(text);
  };
  const backends = async (service: string): Promise<readonly string[] | undefined> => {
    const found = await value(SERVICE + service);
    return found && Object.keys(found.backends).sort();
  };
  return { kube, scene, exporter, ...changes(kube, scene), value, backends };
}
