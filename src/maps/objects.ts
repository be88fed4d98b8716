/** The BPF objects and what each must hold. */

import type { EnumLayout, FamilyLayout, MapLayout, StructLayout } from "../model/layout.ts";
import { AFFINITY_MAP } from "./affinity-map.ts";
import { BACKEND_MAP } from "./backend-map.ts";
import { CHOICE_MAP } from "./choice-map.ts";
import { CONNECTION_MAP, CONNECTION_OUTCOME_ENUM } from "./connection-map.ts";
import { CONNTRACK_MAP } from "./conntrack-map.ts";
import { ENDPOINT_ADDRESS_MAP, ENDPOINT_FLAG_ENUM, ENDPOINT_MAP } from "./endpoint-map.ts";
import { DROP_REASON_ENUM, EVENT_KIND_ENUM, EVENT_RING, FLOW_EVENT, FLOW_MAP, VERDICT_ENUM } from "./flow-map.ts";
import { FRAGMENT_MAP } from "./fragment-map.ts";
import { IPCACHE_CIDR_MAP } from "./ipcache-cidr-map.ts";
import { IPCACHE_MAP } from "./ipcache-map.ts";
import { METRIC_REASON_ENUM, METRICS_MAP } from "./metrics-map.ts";
import { POLICY_FAMILY } from "./policy-map.ts";
import { REVERSE_NAT_MAP } from "./reverse-nat-map.ts";
import { SERVICE_MAP } from "./service-map.ts";
import { VERDICT_COUNTER_MAP } from "./verdict-counter-map.ts";

export interface ObjectLayout {
  /** File name below the directory of objects. */
  readonly file: string;
  readonly maps: readonly MapLayout[];
  readonly enums: readonly EnumLayout[];
  /** Names of maps that only programs write: connections go on in them when all other maps are made anew. */
  readonly kept: readonly string[];
  /** Names of the cgroup programs, in the order in which they are attached. */
  readonly programs: readonly string[];
  /** Arrays of maps. */
  readonly families?: readonly FamilyLayout[];
  /** Structs that no map names and that the object must hold all the same. */
  readonly structs?: readonly StructLayout[];
  /** Names of ring buffers. */
  readonly rings?: readonly string[];
  /** Programs for devices: packets from the workload, packets to it. */
  readonly devicePrograms?: DevicePrograms;
}

export interface DevicePrograms {
  /** At the device's tc ingress: what the workload sends. */
  readonly from: string;
  /** At the device's tc egress: what the workload gets. */
  readonly to: string;
}

/** Service address to backend at socket time. */
export const SOCK_LB_OBJECT: ObjectLayout = {
  file: "sock_lb.bpf.o",
  maps: [SERVICE_MAP, BACKEND_MAP, AFFINITY_MAP, CHOICE_MAP, REVERSE_NAT_MAP, METRICS_MAP],
  kept: [AFFINITY_MAP, CHOICE_MAP, REVERSE_NAT_MAP, METRICS_MAP].map(({ name }) => name),
  enums: [METRIC_REASON_ENUM],
  programs: [
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
    "sock_release",
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
  ],
};

/** Policy, connection tracking and per-packet services at the workloads' devices. Shares services, backends, affinities and metrics with SOCK_LB_OBJECT. */
export const ENDPOINT_OBJECT: ObjectLayout = {
  file: "endpoint.bpf.o",
  maps: [
    SERVICE_MAP,
    BACKEND_MAP,
    AFFINITY_MAP,
    METRICS_MAP,
    IPCACHE_MAP,
    IPCACHE_CIDR_MAP,
    ENDPOINT_MAP,
    ENDPOINT_ADDRESS_MAP,
    CONNTRACK_MAP,
    FLOW_MAP,
    FRAGMENT_MAP,
    VERDICT_COUNTER_MAP,
    CONNECTION_MAP,
  ],
  kept: [AFFINITY_MAP, METRICS_MAP, CONNTRACK_MAP, FLOW_MAP, FRAGMENT_MAP, VERDICT_COUNTER_MAP, CONNECTION_MAP].map(
    ({ name }) => name,
  ),
  enums: [
    METRIC_REASON_ENUM,
    ENDPOINT_FLAG_ENUM,
    VERDICT_ENUM,
    DROP_REASON_ENUM,
    EVENT_KIND_ENUM,
    CONNECTION_OUTCOME_ENUM,
  ],
  programs: [],
  families: [POLICY_FAMILY],
  structs: [FLOW_EVENT],
  rings: [EVENT_RING],
  devicePrograms: { from: "from_endpoint", to: "to_endpoint" },
};
