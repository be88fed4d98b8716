/** What the flows room must be told to put names to numbers. The agent answers from its tables. Any answer may be "not known". */

export interface FlowOwner {
  /** "" when the address is no cluster's. */
  readonly cluster: string;
  /** `namespace/pod`, "" when it is none. */
  readonly pod: string;
}

export interface Names {
  /** `source:key=value`, sorted; `reserved:world` and the like for reserved identities, `cidr:10.0.0.0/8` for CIDRs; none when unknown. */
  labels(identity: number): readonly string[];
  /** Who has a canonical address. */
  owner(address: string): FlowOwner | undefined;
  /** `namespace/pod` of the workload behind a device, else the device's name. */
  endpoint(ifindex: number): string | undefined;
  /** `kind/namespace/name ingress[0] (file:line)`. */
  rule(rule: number): string | undefined;
}
