/** What `bulkhead doctor` reads of a node, and what it says to it. */

export interface NodeFacts {
  /** As `uname -r` says: `6.8.0-45-generic`. */
  readonly kernelRelease: string;
  /** `CapEff` of /proc/self/status, in hex; absent: not read. */
  readonly capabilities?: string;
  /** The kernel's own types, /sys/kernel/btf/vmlinux. */
  readonly btf: boolean;
  /** Why libbpf cannot be loaded; absent: it can. */
  readonly libbpfFault?: string;
  /** Why maps cannot be pinned in the folder that was asked about; absent: they can. */
  readonly pinFault?: string;
  readonly pinFolder: string;
  /** Where cgroup2 is mounted; absent: nowhere. */
  readonly cgroup2?: string;
  /** Why no snapshot can be written in that folder; absent: it can. */
  readonly snapshotFault?: string;
  readonly snapshotFolder: string;
  /** By name, such as `net.ipv4.conf.all.rp_filter`; those that this kernel does not have are left out. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Most addresses that an agent of this machine knows, or that are expected. */
  readonly addresses: number;
}

export interface Finding {
  readonly check: string;
  readonly verdict: "ok" | "warning" | "failed";
  /** What was found. */
  readonly detail: string;
  /** What to do, when something is to be done. */
  readonly mend?: string;
}
