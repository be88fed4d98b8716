/** The agent's BPF objects in the kernel: their maps together, and with which capacities. */
import type { EntryLayout } from "../../datapath/restore.ts";
import type { AttachOutcome, EventRing, Kernel, KernelMap, KernelMapFamily, LoadedObject } from "../../kernel/door.ts";
import { BACKEND_MAP } from "../../maps/backend-map.ts";
import { CONNTRACK_MAP } from "../../maps/conntrack-map.ts";
import { ENDPOINT_ADDRESS_MAP, ENDPOINT_MAP } from "../../maps/endpoint-map.ts";
import { FLOW_MAP } from "../../maps/flow-map.ts";
import { IPCACHE_CIDR_MAP } from "../../maps/ipcache-cidr-map.ts";
import { IPCACHE_MAP } from "../../maps/ipcache-map.ts";
import { LAYOUT_VERSION } from "../../maps/layout.ts";
import { ENDPOINT_OBJECT, type ObjectLayout, SOCK_LB_OBJECT } from "../../maps/objects.ts";
import { SERVICE_MAP } from "../../maps/service-map.ts";
import type { EndpointDevice } from "../../model/endpoint.ts";
import type { AgentSettings } from "./settings.ts";

/** A dual-stack pod has two; room for as many again. */
const ADDRESSES_PER_ENDPOINT = 4;

export class AgentObjects {
  readonly maps: ReadonlyMap<string, KernelMap>;
  readonly families: ReadonlyMap<string, KernelMapFamily>;
  readonly #sockets: LoadedObject;
  readonly #endpoints: LoadedObject;
  readonly #settings: AgentSettings;

  private constructor(settings: AgentSettings, sockets: LoadedObject, endpoints: LoadedObject) {
    this.#settings = settings;
    this.#sockets = sockets;
    this.#endpoints = endpoints;
    this.maps = new Map([...sockets.maps, ...endpoints.maps]);
    this.families = endpoints.families;
  }

  /** Rejects with a KernelError; then nothing stays open. */
  static async load(settings: AgentSettings, kernel: Kernel): Promise<AgentObjects> {
    const sockets = await load(SOCK_LB_OBJECT, settings, kernel);
    try {
      return new AgentObjects(
        settings,
        sockets,
        await load(ENDPOINT_OBJECT, settings, kernel, [...sockets.maps.keys()]),
      );
    } catch (error) {
      sockets.close();
      throw error;
    }
  }

  get layouts(): readonly EntryLayout[] {
    return [SOCK_LB_OBJECT, ENDPOINT_OBJECT].flatMap(({ maps, families = [] }) => [...maps, ...families]);
  }

  map({ name }: { readonly name: string }): KernelMap {
    const map = this.maps.get(name);
    if (map === undefined) throw new Error(`no object holds the map ${name}`);
    return map;
  }

  ring(name: string): EventRing {
    const ring = this.#endpoints.rings.get(name);
    if (ring === undefined) throw new Error(`no object holds the ring ${name}`);
    return ring;
  }

  /** Whether an agent before this one had the maps in use, since the node booted. */
  isAttached(): boolean {
    return this.#sockets.isAttached();
  }

  attachCgroup(): Promise<Readonly<Record<string, AttachOutcome>>> {
    return this.#sockets.attachCgroup(this.#settings.cgroup);
  }

  attachDevice(device: EndpointDevice): Promise<Readonly<Record<string, AttachOutcome>>> {
    return this.#endpoints.attachDevice(device);
  }

  detachOthers(ifindexes: ReadonlySet<number>): Promise<number> {
    return this.#endpoints.detachOthers(ifindexes);
  }

  /** Capacities that pinned maps do not have as asked. */
  problems(): readonly string[] {
    const asked = capacitiesOf(this.#settings);
    return [...this.maps.values()]
      .filter(({ name, maxEntries }) => (asked[name] ?? maxEntries) !== maxEntries)
      .map(({ name, maxEntries }) => {
        return `map ${name}: pinned with room for ${maxEntries} entries, not for ${asked[name]} as asked; docs/MAPS.md says how to change it`;
      });
  }

  /** Pins stay. */
  close(): void {
    this.#sockets.close();
    this.#endpoints.close();
  }
}

function capacitiesOf(settings: AgentSettings): Readonly<Record<string, number>> {
  return {
    [SERVICE_MAP.name]: settings.servicesMax,
    [BACKEND_MAP.name]: settings.backendsMax,
    [IPCACHE_MAP.name]: settings.ipcacheMax,
    [IPCACHE_CIDR_MAP.name]: settings.ipcacheCidrsMax,
    [ENDPOINT_MAP.name]: settings.endpointsMax,
    [ENDPOINT_ADDRESS_MAP.name]: settings.endpointsMax * ADDRESSES_PER_ENDPOINT,
    [CONNTRACK_MAP.name]: settings.conntrackMax,
    [FLOW_MAP.name]: settings.flowsMax,
  };
}

function load(
  layout: ObjectLayout,
  settings: AgentSettings,
  kernel: Kernel,
  shared: readonly string[] = [],
): Promise<LoadedObject> {
  const { file, maps, kept, enums, families = [], structs = [], rings = [], devicePrograms } = layout;
  const { objects, bpfDir, deviceHook } = settings;
  return kernel.load({
    objectPath: `${objects}/${file}`,
    pinDirectory: bpfDir,
    layoutVersion: LAYOUT_VERSION,
    layouts: maps,
    kept,
    shared,
    enums,
    maxEntries: capacitiesOf(settings),
    families,
    structs,
    rings,
    ...(devicePrograms && { devicePrograms }),
    ...(deviceHook !== "auto" && { deviceHook }),
  });
}
