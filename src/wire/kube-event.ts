/** An Event of Kubernetes: what `kubectl describe` shows below an object. */
import { createHash } from "node:crypto";
import { encodeGoJson } from "./go-json.ts";

export interface KubeObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  /** "" for an object without a namespace. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface KubeEventWish {
  readonly about: KubeObjectRef;
  readonly message: string;
  /** RFC 3339. */
  readonly at: string;
  /** Program, and which of its processes. */
  readonly component: string;
  readonly instance: string;
}

/** One word, as `kubectl get events` shows it. */
const REASON = "NotPublishedAsAsked";
/** Kubernetes' own limit. */
const MAX_MESSAGE = 1024;
const MAX_NAME = 200;
/** Where Kubernetes wants events of objects that have no namespace. */
const DEFAULT_NAMESPACE = "default";

/** The name follows from what is said of whom: saying it again makes no second event. */
export function kubeEvent({ about, message, at, component, instance }: KubeEventWish): {
  readonly path: string;
  readonly body: Uint8Array;
} {
  const namespace = about.namespace || DEFAULT_NAMESPACE;
  const digest = createHash("sha256").update(`${about.kind} ${about.uid} ${message}`).digest("hex").slice(0, 16);
  const body = encodeGoJson({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${about.name.slice(0, MAX_NAME)}.${digest}`, namespace },
    involvedObject: {
      apiVersion: about.apiVersion,
      kind: about.kind,
      namespace: about.namespace || undefined,
      name: about.name,
      uid: about.uid,
    },
    reason: REASON,
    message: message.slice(0, MAX_MESSAGE),
    type: "Warning",
    count: 1,
    firstTimestamp: at,
    lastTimestamp: at,
    source: { component },
    reportingComponent: component,
    reportingInstance: instance,
  });
  return { path: `/api/v1/namespaces/${namespace}/events`, body };
}
