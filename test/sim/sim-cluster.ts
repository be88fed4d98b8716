/** One simulated cluster: its etcd, what its exporter says, and the real mirror and agent on top. */
import { type Clock, every } from "../../src/runtime/clock.ts";
import {
  canaryKey,
  ENDPOINTS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_SERVICES_PREFIX,
  localCanary,
  localServiceKey,
  POLICIES_PREFIX,
} from "../../src/wire/keys.ts";
import { encodeLocalService } from "../../src/wire/local-service.ts";
import { RESOURCES } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { FakeCluster } from "../mirror/fake-cluster.ts";
import { AuditedEtcd } from "./audited-etcd.ts";
import type { Trace } from "./trace.ts";
import type { Truth } from "./truth.ts";

export const SERVICES = ["cart", "till"] as const;
export type ServiceName = (typeof SERVICES)[number];
/** `till` prefers its own backends. */
export const AFFINITY = { cart: "none", till: "local" } as const;
export const BACKEND_PORT = 8080;
export const FRONTEND_PORT = 80;
const HEARTBEAT_MS = 10_000;
const LOCAL_PREFIXES = [
  LOCAL_SERVICES_PREFIX,
  POLICIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  ENDPOINTS_PREFIX,
];

/** Canaries of what only the own agents read. */
export function localCanaries(cluster: string): readonly string[] {
  return LOCAL_PREFIXES.map((prefix) => localCanary(cluster, prefix));
}

export class SimCluster extends FakeCluster {
  readonly truth: Truth;
  /** Pods behind each service, by number. */
  readonly pods = new Map<ServiceName, readonly number[]>();
  readonly #trace: Trace;
  #versions = 0;
  /** The etcd lost everything and the exporter has not written it again. */
  lost = false;
  /** What the exporter keeps in its own memory: every key it wants. */
  readonly #wanted = new Map<string, Uint8Array>();
  readonly #nonsense = new Set<string>();
  #compacted = 0;

  constructor(name: string, id: number, clock: Clock, trace: Trace, truths: Map<string, Truth>, truth: Truth) {
    super(name, id, clock, new AuditedEtcd(name, id, clock, trace, truths));
    this.truth = truth;
    this.#trace = trace;
    truths.set(name, truth);
  }

  override put(key: string, value: Uint8Array | string): void {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    const name = this.truth.nameOfStateKey(key);
    if (name !== undefined) this.truth.say(name, bytes);
    this.#wanted.set(key, bytes);
    this.#trace.note(`${this.name} says ${key}`);
    if (!this.lost) super.put(key, bytes);
  }

  override remove(key: string): void {
    const name = this.truth.nameOfStateKey(key);
    if (name !== undefined && this.#wanted.has(key)) this.truth.say(name, undefined);
    this.#wanted.delete(key);
    this.#trace.note(`${this.name} withdraws ${key}`);
    if (!this.lost) super.remove(key);
  }

  /** Of its only node. */
  get nodeAddress(): string {
    return `10.${this.id}.255.1`;
  }

  /** A value that others must refuse. It is not a truth. */
  putNonsense(number: number): void {
    this.#trace.note(`${this.name} says nonsense of ${number}`);
    this.#nonsense.add(this.ipKey(number));
    if (!this.lost) super.put(this.ipKey(number), `{"IP":"${this.address(number)}","HostIP":"","ID":2}`);
  }

  /** Whether its last word on an address may be one that others refuse. */
  spokeNonsenseOf(address: string): boolean {
    return [...this.#nonsense].some((key) => key.endsWith(`/${address}`));
  }

  begin(clock: Clock, signal: AbortSignal): void {
    this.putNode("node-1");
    this.putIdentity(0);
    for (let number = 1; number <= 6; number++) this.putIp(number);
    for (const [index, service] of SERVICES.entries()) this.setPods(service, [index + 1, index + 2]);
    this.announce();
    for (const canary of localCanaries(this.name)) this.put(canary, "2026-01-01T00:00:00Z");
    every(clock, HEARTBEAT_MS, signal, () => this.beat());
  }

  /** Every value differs from every one before: so it shows which one a copy is of. */
  override putIp(number: number): void {
    super.putIp(number, `pod-${number}-${++this.#versions}`);
  }

  frontend(service: ServiceName): string {
    return `10.100.${this.id}.${SERVICES.indexOf(service) + 1}`;
  }

  setPods(service: ServiceName, numbers: readonly number[]): void {
    this.pods.set(service, numbers);
    const http = { name: "http", protocol: "TCP" } as const;
    const frontends = new Map([[this.frontend(service), [{ ...http, port: FRONTEND_PORT }]]]);
    const backends = new Map(numbers.map((number) => [this.address(number), [{ ...http, port: BACKEND_PORT }]]));
    const names = { namespace: "shop", name: service };
    this.put(
      this.serviceKey(service),
      encodeService({
        ...names,
        cluster: this.name,
        clusterId: this.id,
        frontends,
        backends,
        shared: true,
        labels: new Map([["version", `${++this.#versions}`]]),
        selector: new Map(),
      }),
    );
    const local = { ...names, frontends, backends, global: true, shared: true, affinity: AFFINITY[service] };
    this.put(localServiceKey("shop", service), encodeLocalService(local));
  }

  /** Forgets all history. */
  compact(): void {
    const { revision } = this.etcd;
    if (revision > this.#compacted) this.etcd.compact(revision);
    this.#compacted = revision;
  }

  /** The disk is gone. The exporter still knows everything, and writes it again in `refill`. */
  lose(): void {
    this.lost = true;
    this.#compacted = 0;
    this.etcd.wipe();
  }

  /** Config and part of the state, without canaries: what a reader must not take for all. */
  refillSome(): void {
    this.lost = false;
    for (const [index, [key, value]] of [...this.#wanted].entries()) {
      if (index % 2 === 0 && !key.startsWith("cilium/synced/")) super.put(key, value);
    }
    super.putConfig(this.id);
  }

  refill(): void {
    this.lost = false;
    for (const key of this.#nonsense) if (!this.#wanted.has(key)) super.remove(key);
    for (const [key, value] of this.#wanted) if (!key.startsWith("cilium/synced/")) super.put(key, value);
    for (const { stateCanary } of RESOURCES) {
      const key = canaryKey(this.name, stateCanary);
      super.put(key, this.#wanted.get(key) ?? new Uint8Array());
    }
    for (const canary of localCanaries(this.name)) super.put(canary, "2026-01-01T00:00:00Z");
  }
}
