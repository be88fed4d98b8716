// One endpoint on the loopback device, and packets run through its programs without a network: what became of them, and what was told of it.
import assert from "node:assert/strict";
import type { KernelMap, LoadedObject, LoadRequest } from "../../src/kernel/door.ts";
import { testRun } from "../../src/kernel/test-run.ts";
import {
  type ConntrackKey,
  type ConntrackValue,
  decodeConntrackKey,
  decodeConntrackValue,
  encodeConntrackKey,
  encodeConntrackValue,
} from "../../src/maps/conntrack-map.ts";
import {
  type EndpointValue,
  encodeEndpointAddressKey,
  encodeEndpointAddressValue,
  encodeEndpointKey,
  encodeEndpointValue,
} from "../../src/maps/endpoint-map.ts";
import {
  decodeFlowEvent,
  decodeFlowKey,
  decodeFlowValue,
  type FlowKey,
  type FlowValue,
} from "../../src/maps/flow-map.ts";
import { encodeIpcacheCidrKey, encodeIpcacheCidrValue, IPCACHE_CIDR_CLAIMED } from "../../src/maps/ipcache-cidr-map.ts";
import { encodeIpcacheKey, encodeIpcacheValue } from "../../src/maps/ipcache-map.ts";
import { ENDPOINT_OBJECT } from "../../src/maps/objects.ts";
import { encodePolicyKey, encodePolicyValue, POLICY_PREFIX } from "../../src/maps/policy-map.ts";
import { decodeVerdictCounterKey, decodeVerdictCounterValue } from "../../src/maps/verdict-counter-map.ts";
import { formatAddress, parseCidr, prefixBits } from "../../src/model/address.ts";
import {
  DROP_REASONS,
  type DropReason,
  EVENT_KINDS,
  type EventKind,
  VERDICTS,
  type Verdict,
} from "../../src/model/flow.ts";
import { backendEntry, bytesOf, entriesOf, mapOf, type Place, serviceEntries } from "./entries.ts";
import type { Stage } from "./stage.ts";

/** The loopback device: it exists in every namespace. */
export const IFINDEX = 1;
export const INGRESS_SLOT = 1;
export const EGRESS_SLOT = 2;
export const POD = { identity: 70_001, v4: "10.1.0.5", v6: "fd00:1::5" } as const;
export const PEER = { identity: 70_002, v4: "10.2.0.9", v6: "fd00:2::9" } as const;

export type Program = "from_endpoint" | "to_endpoint";

/** Who, which protocol and port (`[value, bits]`; absent: any), and what then. */
export interface PolicyEntry {
  readonly identity: number;
  readonly protocol?: number;
  readonly port?: readonly [value: number, bits: number];
  readonly deny?: boolean;
  readonly rule?: number;
}

export interface SeenEvent {
  readonly kind: EventKind;
  readonly verdict: Verdict;
  readonly reason: DropReason;
  readonly rule: number;
  readonly identities: readonly [source: number, destination: number];
  /** `source:port>destination:port/protocol direction`. */
  readonly flow: string;
  readonly ifindex: number;
}

export interface Outcome {
  readonly dropped: boolean;
  readonly packet: Uint8Array;
  readonly events: readonly SeenEvent[];
}

export const NEXT_PROGRAM = 0xffffffff;
export const DROP_PACKET = 2;
const EVENTS_AT_ONCE = 100_000;
const WRITTEN_BY_PROGRAMS = ["metrics", "verdict_counters", "connections"];

function flowText(key: FlowKey): string {
  const end = (address: Uint8Array, port: number): string => `${formatAddress(address)}|${port}`;
  const ends = `${end(key.source, key.sourcePort)}>${end(key.destination, key.destinationPort)}`;
  return `${ends}/${key.protocol} ${key.direction === 0 ? "ingress" : "egress"}`;
}

function seenEvent(bytes: Uint8Array): SeenEvent {
  const event = decodeFlowEvent(bytes.slice());
  assert(event.timeNs > 0n && event.bytes >= 14);
  const [kind, verdict, reason] = [EVENT_KINDS[event.kind], VERDICTS[event.verdict], DROP_REASONS[event.reason]];
  assert(kind !== undefined && verdict !== undefined && reason !== undefined);
  const identities = [event.sourceIdentity, event.destinationIdentity] as const;
  return {
    kind,
    verdict,
    reason,
    rule: event.rule,
    identities,
    flow: flowText(event.flow),
    ifindex: event.flow.ifindex,
  };
}

function policyPair({ identity, protocol, port, deny = false, rule = 0 }: PolicyEntry): [Uint8Array, Uint8Array] {
  const bits = port === undefined ? undefined : POLICY_PREFIX.port + port[1];
  const prefixLength = bits ?? (protocol === undefined ? POLICY_PREFIX.identity : POLICY_PREFIX.protocol);
  const key = encodePolicyKey({ prefixLength, identity, protocol: protocol ?? 0, port: port?.[0] ?? 0 });
  return [key, encodePolicyValue({ rule, verdict: deny ? 2 : 1 })];
}

export class Scene {
  readonly object: LoadedObject;

  private constructor(object: LoadedObject) {
    this.object = object;
  }

  static async open(stage: Stage, more: Partial<LoadRequest> = {}): Promise<Scene> {
    const { families, structs, rings, devicePrograms } = ENDPOINT_OBJECT;
    assert(families !== undefined && structs !== undefined && rings !== undefined && devicePrograms !== undefined);
    const maxEntries = { conntrack: 4096, flows: 8192, fragments: 1024 };
    const request = { families, structs, rings, devicePrograms, maxEntries, ...more };
    return new Scene(await stage.load(ENDPOINT_OBJECT, request));
  }

  map(name: string): KernelMap {
    return mapOf(this.object, name);
  }

  /** As at first: nothing known, but the pod and its peer, nothing enforced. */
  async reset(): Promise<void> {
    for (const map of this.object.maps.values()) {
      if (WRITTEN_BY_PROGRAMS.includes(map.name)) continue;
      const { keys, count } = await map.dump();
      await map.remove(keys, count);
    }
    const family = this.#policies();
    const slots = [...(await family.read()).keys()];
    if (slots.length > 0) await family.remove(slots);
    this.events();
    await this.endpoint({});
    await this.addresses([POD.v4, POD.v6]);
    for (const { identity, v4, v6 } of [POD, PEER]) await this.known(identity, v4, v6);
  }

  #policies() {
    const family = this.object.families.get("policies");
    assert(family !== undefined);
    return family;
  }

  async endpoint(value: Partial<EndpointValue>, ifindex = IFINDEX): Promise<void> {
    const whole = { identity: POD.identity, ingressPolicy: 0, egressPolicy: 0, flags: 0, ...value };
    await this.map("endpoints").update(entriesOf([[encodeEndpointKey({ ifindex }), encodeEndpointValue(whole)]]));
  }

  async noEndpoint(): Promise<void> {
    await this.map("endpoints").remove(encodeEndpointKey({ ifindex: IFINDEX }), 1);
  }

  async addresses(own: readonly string[], ifindex = IFINDEX): Promise<void> {
    const value = encodeEndpointAddressValue({ identity: POD.identity });
    await this.map("endpoint_addresses").update(
      entriesOf(own.map((text) => [encodeEndpointAddressKey({ ifindex, address: bytesOf(text) }), value])),
    );
  }

  async known(identity: number, ...addresses: readonly string[]): Promise<void> {
    const value = encodeIpcacheValue({ identity, clusterId: 1 });
    await this.map("ipcache").update(
      entriesOf(addresses.map((text) => [encodeIpcacheKey({ address: bytesOf(text) }), value])),
    );
  }

  /** @param identity of a policy's CIDR, or "claimed" by a cluster for its pods. */
  async cidr(text: string, identity: number | "claimed"): Promise<void> {
    const cidr = parseCidr(text);
    assert(cidr !== undefined, `${text} is a CIDR`);
    const key = encodeIpcacheCidrKey({ prefixLength: prefixBits(cidr), address: cidr.address });
    const value = identity === "claimed" ? { identity: 0, flags: IPCACHE_CIDR_CLAIMED } : { identity, flags: 0 };
    await this.map("ipcache_cidrs").update(entriesOf([[key, encodeIpcacheCidrValue(value)]]));
  }

  async policy(slot: number, entries: readonly PolicyEntry[]): Promise<void> {
    await this.#policies().put([{ slot, entries: entriesOf(entries.map(policyPair)) }]);
  }

  /** Puts the policy into its slot and has the endpoint enforce it. */
  async enforce(direction: "ingress" | "egress", entries: readonly PolicyEntry[], flags = 0): Promise<void> {
    const slot = direction === "ingress" ? INGRESS_SLOT : EGRESS_SLOT;
    await this.policy(slot, entries);
    await this.endpoint(direction === "ingress" ? { ingressPolicy: slot, flags } : { egressPolicy: slot, flags });
  }

  async service(frontend: Place, backends: readonly Place[], affinitySeconds = 0): Promise<void> {
    const ids = backends.map((_, index) => index + 1);
    await this.map("backends").update(entriesOf(backends.map((place, index) => backendEntry(index + 1, place))));
    await this.map("services").update(entriesOf(serviceEntries(frontend, ids, affinitySeconds)));
  }

  run(program: Program, packet: Uint8Array): Outcome {
    const { verdict, packet: out } = testRun(this.object, program, { packet, ifindex: IFINDEX });
    assert(verdict === NEXT_PROGRAM || verdict === DROP_PACKET, `${program} answered ${verdict}`);
    return { dropped: verdict === DROP_PACKET, packet: out, events: this.events() };
  }

  durationNs(program: Program, packet: Uint8Array, repeat: number): number {
    return testRun(this.object, program, { packet, ifindex: IFINDEX, repeat }).durationNs;
  }

  /** What was told since the last call. */
  events(): SeenEvent[] {
    const seen: SeenEvent[] = [];
    const ring = this.object.rings.get("events");
    assert(ring !== undefined);
    ring.drain(EVENTS_AT_ONCE, (bytes) => seen.push(seenEvent(bytes)));
    return seen;
  }

  async #rows<Key, Value>(
    name: string,
    decodeKey: (bytes: Uint8Array) => Key,
    decodeValue: (bytes: Uint8Array) => Value,
  ): Promise<[Key, Value][]> {
    const map = this.map(name);
    const { keys, values, count } = await map.dump();
    const part = (bytes: Uint8Array, index: number, size: number): Uint8Array =>
      bytes.subarray(index * size, (index + 1) * size);
    return Array.from({ length: count }, (_, index) => [
      decodeKey(part(keys, index, map.keySize)),
      decodeValue(part(values, index, map.valueSize)),
    ]);
  }

  connections(): Promise<[ConntrackKey, ConntrackValue][]> {
    return this.#rows("conntrack", decodeConntrackKey, decodeConntrackValue);
  }

  /** The only connection in that direction (0 ingress, 1 egress, 2 service). */
  async connection(direction: number): Promise<ConntrackValue> {
    const found = (await this.connections()).filter(([key]) => key.direction === direction);
    assert.equal(found.length, 1, `one connection in direction ${direction}`);
    return (found[0] as [ConntrackKey, ConntrackValue])[1];
  }

  /** As if every connection had been idle for its time. */
  async expireConnections(): Promise<void> {
    const rows = await this.connections();
    await this.map("conntrack").update(
      entriesOf(
        rows.map(([key, value]) => [encodeConntrackKey(key), encodeConntrackValue({ ...value, expiresNs: 1n })]),
      ),
    );
  }

  async flows(): Promise<Map<string, FlowValue>> {
    const rows = await this.#rows("flows", decodeFlowKey, decodeFlowValue);
    return new Map(rows.map(([key, value]) => [flowText(key), value]));
  }

  /** Packets and bytes by `verdict reason direction`, since the object was loaded. */
  async verdicts(): Promise<Map<string, readonly [packets: number, bytes: number]>> {
    const rows = await this.#rows("verdict_counters", decodeVerdictCounterKey, decodeVerdictCounterValue);
    return new Map(
      rows.map(([{ verdict, reason, direction }, { packets, bytes }]) => [
        `${VERDICTS[verdict]} ${DROP_REASONS[reason]} ${direction === 0 ? "ingress" : "egress"}`,
        [Number(packets), Number(bytes)],
      ]),
    );
  }
}
