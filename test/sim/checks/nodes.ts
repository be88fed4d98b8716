/** The maps of every node: nothing vanishes that the local etcd did not give up, no slot leads nowhere, and in the end all is as it should be. */
import { RESERVED_IDENTITIES } from "../../../src/model/identity.ts";
import { canaryKey } from "../../../src/wire/keys.ts";
import { RESOURCES, type ResourceKind, resource } from "../../../src/wire/resources.ts";
import { type KernelView, viewKernel } from "../kernel-view.ts";
import { LIMITS } from "../limits.ts";
import { AFFINITY, BACKEND_PORT, FRONTEND_PORT, SERVICES, type SimCluster } from "../sim-cluster.ts";
import type { Stage } from "../stage.ts";
import { textOf } from "../truth.ts";
import { cacheOf } from "./honesty.ts";
import { readJson } from "./withdrawals.ts";

/** For how long at least an agent doubts an etcd that was restored, when its writers do not vouch for it. */
const DOUBT_MS = LIMITS.holdConfirmMs;

/** Nodes that there may be -> their number. */
const NODE_NAMES: ReadonlyMap<string, number> = new Map([
  ["node-1", 1],
  ["node-2", 2],
  ["roamer", 8],
]);

/** Addresses that move between clusters: S06. */
const ROAMING = "172.20.";

interface Look {
  readonly view: KernelView;
  readonly atMs: number;
}

/** Whether a canary of this cluster's programs was written since then, as it says: in whole milliseconds. */
function isSince({ clock }: SimCluster, sinceMs: number, canary: Uint8Array): boolean {
  return Date.parse(textOf(canary)) >= Math.floor(clock.wallMs() - (clock.nowMs() - sinceMs));
}

export class Nodes {
  readonly #stage: Stage;
  /** By cluster: what its node knew at the last look. */
  readonly #views = new Map<string, Look>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async look(): Promise<void> {
    const { agents, trace } = this.#stage;
    for (const { own, kernel, pinDirectory, startedMs } of agents) {
      const view = await viewKernel(kernel, pinDirectory);
      const before = this.#views.get(own.name);
      this.#views.set(own.name, { view, atMs: this.#stage.world.clock.nowMs() });
      trace.note(`${own.name} maps ${JSON.stringify([[...view.ipcache], [...view.services]])}`);
      for (const slot of view.dangling) trace.violate("P01", `${own.name}: ${slot} leads nowhere`);
      for (const [address, entry] of view.ipcache) this.#checkOwner(own, address, entry);
      // One that began since has nothing to compare its etcd with.
      const doubts = startedMs < own.etcd.resetMs;
      if (before) this.#compare(own, before, view, doubts);
    }
  }

  /** I5: `identity/cluster` of an address of a cluster's pods or nodes is that cluster's. */
  #checkOwner(own: SimCluster, address: string, entry: string): void {
    const owner = this.#stage.clusters.find(({ id }) => address.startsWith(`10.${id}.`));
    const [identity = 0, clusterId] = entry.split("/").map(Number);
    const identityOf = identity >>> 16;
    // What a cluster says of itself, its own agents believe: the harm is its own.
    if (
      owner &&
      !(own.selfHarm && clusterId === own.id) &&
      !this.#stage.clusters.some(({ name, id }) => id === clusterId && own.etcd.hadLiar(name)) &&
      (clusterId !== owner.id || (identityOf !== 0 && identityOf !== owner.id))
    ) {
      this.#stage.trace.violate("I5", `${own.name}: ${address} of ${owner.name} is ${entry}`);
    }
  }

  #compare(own: SimCluster, { view: before, atMs: lookedMs }: Look, view: KernelView, doubts: boolean): void {
    const { trace } = this.#stage;
    for (const address of before.ipcache.keys()) {
      if (view.ipcache.has(address) || own.selfHarm || this.#mayVanish(own, address, lookedMs, doubts)) continue;
      trace.violate("I2", `${own.name}: ${address} left the ipcache though the local etcd never gave it up`);
    }
    for (const frontend of before.services.keys()) {
      if (!view.services.has(frontend)) trace.violate("I2", `${own.name}: frontend ${frontend} vanished`);
    }
  }

  /** Some key that may speak of the address was deleted in the local etcd, or is not in a state of it that is complete: vouched for since it was restored. */
  #mayVanish(own: SimCluster, address: string, lookedMs: number, doubts: boolean): boolean {
    const nowMs = this.#stage.world.clock.nowMs();
    const { etcd } = own;
    for (const cluster of this.#stage.clusters) {
      const prefix = (kind: ResourceKind): string =>
        cluster === own ? resource(kind).statePrefix(own.name) : resource(kind).cachePrefix(cluster.name);
      const keys = [prefix("ip") + address];
      for (const [name, node] of NODE_NAMES)
        if (cluster.nodeAddressOf(node) === address) keys.push(`${prefix("nodes")}${name}`);
      if (keys.some((key) => etcd.deletedMs.has(key))) return true;
      // An agent that begins has no last good value of what its own exporter says wrongly.
      if (cluster === own && keys.some((key) => own.hasLied(key))) return true;
      const canaries = (["ip", "nodes"] as const).map((kind) => {
        const { stateCanary, cacheCanary } = resource(kind);
        return canaryKey(cluster.name, cluster === own ? stateCanary : cacheCanary);
      });
      const trusted = !doubts || nowMs - etcd.resetMs >= DOUBT_MS;
      const stands = canaries.some((key) =>
        etcd.range({ key }).kvs.some(({ value }) => trusted || isSince(own, etcd.resetMs, value)),
      );
      const owns = address.startsWith(`10.${cluster.id}.`) || address.startsWith(ROAMING);
      const lacks = keys.every((key) => etcd.range({ key }).count === 0);
      // Gone since the last look, and the etcd was lost or restored after that.
      const lacked = etcd.resetMs > lookedMs && !keys.some((key) => etcd.heldBeforeReset.has(key));
      if (owns && ((stands && lacks) || lacked)) return true;
    }
    return false;
  }

  /** I1. */
  checkEnd(): void {
    const { clusters, trace } = this.#stage;
    for (const local of clusters) {
      for (const remote of clusters) if (remote !== local) this.#checkCache(local, remote);
      for (const { key, leaseId } of local.etcd.entries("cilium/cache/")) {
        if (leaseId !== 0n) trace.violate("lease", `${local.name}: ${key} hangs on a lease`);
      }
      this.#checkMaps(local);
    }
  }

  #checkCache(local: SimCluster, remote: SimCluster): void {
    this.#same(`cache of ${remote.name} at ${local.name}`, remote.truth.now(), cacheOf(local, remote));
    for (const { cacheCanary } of RESOURCES) {
      const key = canaryKey(remote.name, cacheCanary);
      if (local.etcd.range({ key }).count === 0) this.#stage.trace.violate("I1", `${local.name}: no canary ${key}`);
    }
  }

  #checkMaps(local: SimCluster): void {
    const view = this.#views.get(local.name)?.view;
    if (!view) return;
    const ipcache = new Map<string, string>();
    for (const cluster of this.#stage.clusters) {
      for (const [name, text] of cluster.truth.now()) {
        const kind = name.slice(0, name.indexOf(" "));
        if (kind === "ip") ipcache.set(`${readJson(text)["IP"]}`, `${readJson(text)["ID"]}/${cluster.id}`);
        if (kind === "nodes") this.#addNode(ipcache, local, cluster, text);
      }
    }
    this.#same(`ipcache at ${local.name}`, ipcache, view.ipcache);
    const wanted = SERVICES.map((service): [string, string] => [
      `${local.frontend(service)}:${FRONTEND_PORT}`,
      this.#backendsOf(local, service).join(" "),
    ]);
    const programmed = [...view.services].map(([frontend, backends]): [string, string] => [
      frontend,
      backends.join(" "),
    ]);
    this.#same(`services at ${local.name}`, new Map(wanted), new Map(programmed));
  }

  #addNode(ipcache: Map<string, string>, local: SimCluster, cluster: SimCluster, text: string): void {
    const node = readJson(text) as { readonly IPAddresses: readonly { readonly IP: string }[] };
    for (const { IP } of node.IPAddresses) {
      const identity = IP === local.nodeAddress ? RESERVED_IDENTITIES.host : RESERVED_IDENTITIES["remote-node"];
      ipcache.set(IP, `${identity}/${cluster.id}`);
    }
  }

  /** What a client of `local` should reach: all clusters, or its own while it has some. */
  #backendsOf(local: SimCluster, service: (typeof SERVICES)[number]): readonly string[] {
    const of = (cluster: SimCluster): readonly string[] =>
      (cluster.pods.get(service) ?? []).map((number) => `${cluster.address(number)}:${BACKEND_PORT}`);
    const own = of(local);
    const all = AFFINITY[service] === "local" && own.length > 0 ? own : this.#stage.clusters.flatMap(of);
    return [...all].sort();
  }

  #same(what: string, expected: ReadonlyMap<string, string>, actual: ReadonlyMap<string, string>): void {
    const { trace } = this.#stage;
    for (const [key, value] of expected) {
      if (actual.get(key) === value) continue;
      const seen = actual.has(key) ? actual.get(key) : "nothing";
      trace.violate("I1", `${what}: ${key} should be ${value}, is ${seen}`);
    }
    for (const key of actual.keys()) if (!expected.has(key)) trace.violate("I1", `${what}: ${key} is a ghost`);
  }
}
