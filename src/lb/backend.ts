/** Frontends and backends as the compiler handles them, between the model's text and the kernel's bytes. */
import type { Protocol } from "../model/resource.ts";

/** Address, port and IP protocol of one side of a service. */
export interface Endpoint {
  /** Canonical text. */
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
}

/** A backend that a service may use, and who says so. */
export interface Candidate extends Endpoint {
  /** Port name; undefined fits any frontend: taken over from the kernel, which knows no names. */
  readonly portName: string | undefined;
  readonly cluster: string;
  readonly clusterId: number;
  readonly own: boolean;
}

export type EndpointKey = string;

/** `10.0.0.1:80/TCP`, `[fd00::1]:80/TCP`. */
export function endpointText({ address, port, protocol }: Endpoint): EndpointKey {
  return `${address.includes(":") ? `[${address}]` : address}:${port}/${protocol}`;
}

/** A backend's identity in the kernel: the cluster is part of its value. */
export function backendKey(backend: Candidate): string {
  return `${backend.clusterId}|${endpointText(backend)}`;
}
