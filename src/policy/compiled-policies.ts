/** Every distinct policy that some endpoint of this node needs, each in a slot of its own. */
import { POLICY_SLOTS } from "../maps/policy-map.ts";
import { clusterOfIdentity, isClusterId } from "../model/cluster.ts";
import type { NamedPort } from "../model/resource.ts";
import type { TablesView } from "../tables/tables-view.ts";
import { CidrSets } from "./cidr-sets.ts";
import { CompiledPolicy, type Predecessor, type Surroundings } from "./compiled-policy.ts";
import { LabelSets } from "./label-sets.ts";
import type { Follower, PeerSet } from "./peer-set.ts";
import type { Term } from "./peers.ts";
import { PolicySlots } from "./policy-slots.ts";
import { rowsOf } from "./row.ts";
import { usesPeersPorts, type Wanted } from "./wanted.ts";

type Tables = Pick<TablesView, "own" | "namedPorts" | "isSynced">;

export class CompiledPolicies implements Surroundings {
  readonly slots = new PolicySlots();
  readonly labels = new LabelSets();
  readonly cidrs = new CidrSets();
  readonly cluster: string;
  readonly defaultLocalCluster: boolean;
  readonly #view: Tables;
  readonly #policies = new Map<string, CompiledPolicy>();

  constructor(view: Tables, defaultLocalCluster: boolean) {
    this.#view = view;
    this.cluster = view.own.name;
    this.defaultLocalCluster = defaultLocalCluster;
  }

  [Symbol.iterator](): IterableIterator<CompiledPolicy> {
    return this.#policies.values();
  }

  inSlot(slot: number): CompiledPolicy | undefined {
    return [...this.#policies.values()].find((policy) => policy.slot === slot);
  }

  /**
   * The policy; it gets its entries and a slot in the next `refresh`, when all that are needed are there: what one names changes others. It stays
   * until `collect` finds it without users.
   * @param before the slot in whose place it comes; 0: none.
   */
  acquire(wanted: Wanted, before: number): CompiledPolicy {
    const known = this.#policies.get(wanted.key);
    if (known !== undefined) return known;
    const policy = new CompiledPolicy(wanted, this, this.#predecessor(before));
    policy.follow();
    this.#policies.set(wanted.key, policy);
    return policy;
  }

  /** The ports of an identity's pods may be others. */
  portsChanged(identity: number): void {
    for (const policy of this.#policies.values()) {
      if (usesPeersPorts(policy.wanted) && policy.namesPeer(identity)) policy.touched.add(identity);
    }
  }

  /** Clusters said more than before. */
  disinherit(): void {
    for (const policy of this.#policies.values()) policy.disinherit();
  }

  /** Ids of clusters whose identities are in some policy only because the kernel had them. */
  retainedClusters(): ReadonlySet<number> {
    const inherited = [...this.#policies.values()].flatMap((policy) => policy.retained());
    return new Set(inherited.map(clusterOfIdentity));
  }

  /** Compiles what is new or touched; policies that had no room are tried again. */
  *refresh(): Generator<void> {
    for (const policy of this.#policies.values()) {
      if (policy.slot === undefined) yield* this.#build(policy);
      else yield* policy.refresh();
    }
  }

  /** Lets go of what no endpoint uses. */
  collect(): void {
    for (const [key, policy] of this.#policies) {
      if (policy.users > 0) continue;
      this.#policies.delete(key);
      policy.leave();
      if (policy.slot !== undefined) this.slots.release(policy.slot);
    }
  }

  follow(term: Term, follower: Follower): PeerSet | undefined {
    return term.kind === "labels" ? this.labels.follow(term, follower) : this.cidrs.follow(term, follower);
  }

  leave(term: Term, follower: Follower): void {
    if (term.kind === "labels") this.labels.leave(term, follower);
    else this.cidrs.leave(term, follower);
  }

  namedPorts(identity: number): readonly NamedPort[] {
    return this.#view.namedPorts(identity);
  }

  isUnsaid(identity: number): boolean {
    return !this.labels.has(identity) && this.#isSilent("identities", identity);
  }

  arePortsUnsaid(identity: number): boolean {
    return this.#isSilent("ip", identity);
  }

  #isSilent(kind: "identities" | "ip", identity: number): boolean {
    const cluster = clusterOfIdentity(identity);
    if (!isClusterId(cluster) || cluster === this.#view.own.id) return false;
    return !this.#view.isSynced(kind, cluster);
  }

  #predecessor(slot: number): Predecessor {
    const policy = this.inSlot(slot);
    if (policy !== undefined) return { slot, rows: policy.inherited, ports: policy.inheritedPorts };
    const rowsThat = (are: (identity: number) => boolean) => rowsOf(this.slots.maps.get(slot)?.entries() ?? [], are);
    return {
      slot,
      rows: rowsThat((identity) => this.isUnsaid(identity)),
      ports: rowsThat((identity) => this.arePortsUnsaid(identity)),
    };
  }

  /** Compiles it unless it is, and gives it a place if there is one. */
  *#build(policy: CompiledPolicy): Generator<void> {
    if (policy.isStale) yield* policy.build();
    if (policy.isStale || policy.overflows) return;
    const place = this.slots.place(policy.content(), policy.predecessor);
    if (place === undefined) policy.fault = `there are more than ${POLICY_SLOTS - 1} distinct policies on this node`;
    else policy.settle(place.slot, place.entries);
  }
}
