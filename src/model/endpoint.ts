/** Workloads of this node, as the kernel shows them: one veth each, whose other end is in the workload's network namespace. */

export interface EndpointDevice {
  /** Of the host side, in the node's namespace. */
  readonly ifindex: number;
  /** Of the host side. */
  readonly name: string;
  /** Canonical addresses at the workload's end, sorted; loopback and link-local ones left out. Empty until it has some. */
  readonly addresses: readonly string[];
}

/** What an agent says of one endpoint. */
export interface EndpointStatus {
  readonly device: string;
  readonly ifindex: number;
  readonly addresses: readonly string[];
  /** `namespace/pod`; absent while no pod of the own cluster has one of the addresses. */
  readonly pod?: string;
  readonly identity: number;
  readonly ingress: Enforcement;
  readonly egress: Enforcement;
  /** Policies that select it, `kind/namespace/name`. */
  readonly policies: readonly string[];
}

/** `open`: no policy in this direction. `denied`: the workload is not known yet. */
export type Enforcement = "open" | "enforced" | "audit" | "denied";
