/** This node's endpoints: which policies each has now, and what the maps `endpoints` and `endpoint_addresses` say of it. */
import {
  decodeEndpointValue,
  ENDPOINT_FLAGS,
  type EndpointValue,
  encodeEndpointAddressValue,
  encodeEndpointKey,
  encodeEndpointValue,
} from "../maps/endpoint-map.ts";
import type { EndpointDevice, EndpointStatus, Enforcement } from "../model/endpoint.ts";
import type { Direction } from "../model/policy.ts";
import { DesiredMap, type EntryKey, entryKey } from "../tables/desired-map.ts";
import type { TablesView } from "../tables/tables-view.ts";
import type { CompiledPolicies } from "./compiled-policies.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { addressKey, type PlacedPod, type Placement, placements } from "./placement.ts";
import type { PolicyBook, Selecting } from "./policy-book.ts";
import type { Dump } from "./policy-slots.ts";
import { wantedSide } from "./wanted.ts";

/** One direction of one endpoint. */
interface Side {
  readonly wanted: CompiledPolicy | undefined;
  /** The one in force: another than `wanted` only while that one cannot be used. */
  effective: CompiledPolicy | undefined;
  readonly audited: boolean;
}

interface Endpoint {
  readonly placement: Placement;
  readonly selecting: readonly Selecting[];
  readonly ingress: Side;
  readonly egress: Side;
}

const OPEN: Side = Object.freeze({ wanted: undefined, effective: undefined, audited: false });
const UNKNOWN = { identity: 0, ingressPolicy: 0, egressPolicy: 0 };
const DENIED: EndpointValue = { ...UNKNOWN, flags: ENDPOINT_FLAGS.denied };
const UNVERIFIED: EndpointValue = { ...UNKNOWN, flags: ENDPOINT_FLAGS.unverified };

export class EndpointTable {
  readonly endpoints = new DesiredMap();
  readonly addresses = new DesiredMap();
  readonly #view: TablesView;
  readonly #book: PolicyBook;
  readonly #policies: CompiledPolicies;
  readonly #unknown: "deny" | "allow";
  #table = new Map<number, Endpoint>();
  /** Of devices, and identities of their pods: a change there concerns this table. */
  #watchedAddresses: ReadonlySet<string> = new Set();
  #watchedIdentities: ReadonlySet<number> = new Set();

  constructor(view: TablesView, book: PolicyBook, policies: CompiledPolicies, unknown: "deny" | "allow") {
    this.#view = view;
    this.#book = book;
    this.#policies = policies;
    this.#unknown = unknown;
  }

  adopt(endpoints: Dump, addresses: Dump): void {
    for (const [key, value] of endpoints) this.endpoints.set(entryKey(key), value);
    for (const [key, value] of addresses) this.addresses.set(entryKey(key), value);
  }

  /** Before the tables are complete: only devices that nobody knows get a word. */
  guardNew(): void {
    const value = encodeEndpointValue(this.#unknown === "allow" ? UNVERIFIED : DENIED);
    for (const device of this.#view.devices()) if (this.#isNew(device)) this.endpoints.set(deviceKey(device), value);
  }

  /** Without an entry, or with one that was another's: a device may have got the index of one that went while no agent looked. */
  #isNew(device: EndpointDevice): boolean {
    const held = this.#held(device);
    if (held === undefined) return true;
    const isWorkload = (decodeEndpointValue(held).flags & (ENDPOINT_FLAGS.denied | ENDPOINT_FLAGS.unverified)) === 0;
    const isHeld = (address: string): boolean => this.addresses.get(addressKey(device.ifindex, address)) !== undefined;
    return isWorkload && device.addresses.length > 0 && !device.addresses.some(isHeld);
  }

  /** Whether one of these is behind a device. */
  concernedBy(addresses: ReadonlySet<string>, ...identities: readonly ReadonlySet<number>[]): boolean {
    const watched = this.#watchedIdentities;
    if (identities.some((changed) => [...watched].some((identity) => changed.has(identity)))) return true;
    return [...this.#watchedAddresses].some((address) => addresses.has(address));
  }

  /** Places all endpoints anew; policies that none uses any more are left for collection. */
  *update(): Generator<void> {
    const placed = placements(this.#view, this.addresses);
    const table = new Map<number, Endpoint>();
    for (const placement of placed) {
      const { ifindex } = placement.device;
      table.set(ifindex, this.#endpoint(placement, this.#table.get(ifindex)));
      yield;
    }
    for (const endpoint of this.#table.values()) count(endpoint, -1);
    this.#table = table;
    const identities = new Set(placed.map(({ pod }) => pod?.identity ?? 0));
    this.#watchedIdentities = identities;
    this.#watchedAddresses = new Set(placed.flatMap(({ device }) => device.addresses));
    this.#book.keepOnly(identities);
  }

  /** Endpoints move to the policies that they want, where those have a place. */
  settle(): void {
    for (const { ingress, egress } of this.#table.values()) {
      for (const side of [ingress, egress]) {
        const { wanted, effective } = side;
        if (wanted === effective || wanted?.slot === undefined) continue;
        if (effective !== undefined) effective.users--;
        side.effective = wanted;
      }
    }
  }

  /** Brings both maps up to date. */
  write(): void {
    const endpoints = new Set<EntryKey>();
    const addresses = new Set<EntryKey>();
    for (const [ifindex, { placement, ingress, egress }] of this.#table) {
      const { pod } = placement;
      const value = pod === undefined ? this.#ofUnknown() : entryOf(pod, ingress, egress);
      const key = deviceKey({ ifindex });
      endpoints.add(key);
      for (const address of pod?.addresses ?? []) {
        const own = addressKey(ifindex, address);
        addresses.add(own);
        this.addresses.set(own, encodeEndpointAddressValue({ identity: value.identity }));
      }
      this.endpoints.set(key, encodeEndpointValue(value));
    }
    for (const key of this.endpoints.keys()) if (!endpoints.has(key)) this.endpoints.delete(key);
    for (const key of this.addresses.keys()) if (!addresses.has(key)) this.addresses.delete(key);
  }

  value(ifindex: number): EndpointValue | undefined {
    const bytes = this.endpoints.get(deviceKey({ ifindex }));
    return bytes && decodeEndpointValue(bytes);
  }

  ifindexOf(pod: string): number | undefined {
    return [...this.#table.values()].find(({ placement }) => placement.pod?.name === pod)?.placement.device.ifindex;
  }

  /** `namespace/pod` behind the device, or the device's name. */
  nameOf(ifindex: number): string | undefined {
    const { pod, device } = this.#table.get(ifindex)?.placement ?? {};
    return pod?.name ?? device?.name;
  }

  /** Devices that are known by what the kernel held have no pod yet. */
  status(): EndpointStatus[] {
    return this.#view.devices().map((device) => {
      const { placement, selecting = [] } = this.#table.get(device.ifindex) ?? {};
      const value = this.value(device.ifindex) ?? DENIED;
      return {
        device: device.name,
        ifindex: device.ifindex,
        addresses: device.addresses,
        ...(placement?.pod === undefined ? {} : { pod: placement.pod.name }),
        identity: value.identity,
        ingress: enforcement(value, "ingress"),
        egress: enforcement(value, "egress"),
        policies: [...new Set(selecting.map(({ policy }) => policy))],
      };
    });
  }

  problems(): string[] {
    return [...this.#table.values()].flatMap(({ placement, ingress, egress }) => {
      const stuck = [ingress, egress].flatMap(({ wanted, effective }) => {
        if (wanted?.fault === undefined) return [];
        const kept = effective?.fault === undefined && effective !== undefined;
        const state = kept ? "it keeps the one that it had" : "it is denied";
        return [
          `${placement.pod?.name}: its ${wanted.wanted.direction} policy does not fit, ${state}: ${wanted.fault}`,
        ];
      });
      return placement.problem === undefined ? stuck : [placement.problem, ...stuck];
    });
  }

  #endpoint(placement: Placement, before: Endpoint | undefined): Endpoint {
    const { pod } = placement;
    const labels = pod && this.#view.identity(pod.identity)?.labels;
    if (pod === undefined || (labels === undefined && this.#book.size > 0)) {
      return { placement: { ...placement, pod: undefined }, selecting: [], ingress: OPEN, egress: OPEN };
    }
    const selecting = this.#book.selecting(pod.identity, labels ?? []);
    const same = before?.placement.pod?.identity === pod.identity ? before : undefined;
    const held = this.value(placement.device.ifindex);
    const slots = held?.identity === pod.identity ? held : DENIED;
    const ingress = this.#side("ingress", pod, selecting, { slot: slots.ingressPolicy, side: same?.ingress });
    const egress = this.#side("egress", pod, selecting, { slot: slots.egressPolicy, side: same?.egress });
    const endpoint = { placement, selecting, ingress, egress };
    count(endpoint, 1);
    return endpoint;
  }

  #side(
    direction: Direction,
    pod: PlacedPod,
    selecting: readonly Selecting[],
    before: { readonly slot: number; readonly side: Side | undefined },
  ): Side {
    const { policy, audited } = wantedSide(direction, selecting, pod.namedPorts);
    if (policy === undefined) return OPEN;
    const wanted = this.#policies.acquire(policy, before.slot);
    const effective = wanted.slot === undefined ? before.side?.effective : wanted;
    return { wanted, effective, audited: audited || this.#view.isAudited(pod.name) };
  }

  #ofUnknown(): EndpointValue {
    return this.#unknown === "allow" || this.#book.size === 0 ? UNVERIFIED : DENIED;
  }

  #held(device: EndpointDevice): Uint8Array | undefined {
    return this.endpoints.get(deviceKey(device));
  }
}

function deviceKey({ ifindex }: Pick<EndpointDevice, "ifindex">): EntryKey {
  return entryKey(encodeEndpointKey({ ifindex }));
}

function count({ ingress, egress }: Endpoint, by: 1 | -1): void {
  for (const { wanted, effective } of [ingress, egress]) {
    if (wanted !== undefined) wanted.users += by;
    if (effective !== undefined && effective !== wanted) effective.users += by;
  }
}

/** A direction that has no policy that works denies the endpoint as a whole. */
function entryOf({ identity }: PlacedPod, ingress: Side, egress: Side): EndpointValue {
  const broken = [ingress, egress].some(
    ({ wanted, effective }) => wanted !== undefined && (effective === undefined || effective.fault !== undefined),
  );
  const { denied, auditIngress, auditEgress } = ENDPOINT_FLAGS;
  const flags = (ingress.audited ? auditIngress : 0) + (egress.audited ? auditEgress : 0);
  return {
    identity,
    ingressPolicy: ingress.effective?.slot ?? 0,
    egressPolicy: egress.effective?.slot ?? 0,
    flags: broken ? denied : flags,
  };
}

function enforcement({ flags, ingressPolicy, egressPolicy }: EndpointValue, direction: Direction): Enforcement {
  if ((flags & ENDPOINT_FLAGS.denied) !== 0) return "denied";
  if ((direction === "ingress" ? ingressPolicy : egressPolicy) === 0) return "open";
  const audit = direction === "ingress" ? ENDPOINT_FLAGS.auditIngress : ENDPOINT_FLAGS.auditEgress;
  return (flags & audit) === 0 ? "enforced" : "audit";
}
