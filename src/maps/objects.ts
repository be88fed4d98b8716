/** The BPF objects and what each must hold. */

import type { EnumLayout, MapLayout } from "../model/layout.ts";
import { BACKEND_MAP } from "./backend-map.ts";
import { CHOICE_MAP } from "./choice-map.ts";
import { IPCACHE_MAP } from "./ipcache-map.ts";
import { METRIC_REASON_ENUM, METRICS_MAP } from "./metrics-map.ts";
import { REVERSE_NAT_MAP } from "./reverse-nat-map.ts";
import { SERVICE_MAP } from "./service-map.ts";

export interface ObjectLayout {
  /** File name below the directory of objects. */
  readonly file: string;
  readonly maps: readonly MapLayout[];
  readonly enums: readonly EnumLayout[];
  /** Names of the cgroup programs, in the order in which they are attached. */
  readonly programs: readonly string[];
}

/** Service address to backend at socket time. */
export const SOCK_LB_OBJECT: ObjectLayout = {
  file: "sock_lb.bpf.o",
  maps: [SERVICE_MAP, BACKEND_MAP, CHOICE_MAP, REVERSE_NAT_MAP, METRICS_MAP],
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

/** Only the map: the programs that read it stand at the endpoints' devices. */
export const IPCACHE_OBJECT: ObjectLayout = { file: "ipcache.bpf.o", maps: [IPCACHE_MAP], enums: [], programs: [] };
