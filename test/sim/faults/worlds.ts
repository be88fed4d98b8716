/** W10..W14: an etcd that is not the one it was, and state that goes in one piece. */
import { drainKey } from "../../../src/wire/keys.ts";
import { resource } from "../../../src/wire/resources.ts";
import { SERVICES } from "../sim-cluster.ts";
import { chance, type FaultRow, pick, row, type Scene } from "./row.ts";

/** The exporter notices, in parts or all at once, while the fault lasts. */
function reconciledAtEnd(scene: Scene): () => void {
  const { cluster, durationMs, random } = scene;
  if (chance(random, 2)) scene.after(durationMs / 2, () => cluster.reconcileSome());
  return () => cluster.reconcile();
}

/** W10: a backup, so that its revision is lower than what was seen. */
const restored: FaultRow["begin"] = (scene) => {
  const { cluster, random } = scene;
  if (cluster.snapshots.length === 0) return () => undefined;
  cluster.restore(pick(random, cluster.snapshots));
  scene.hit();
  return reconciledAtEnd(scene);
};

/** W11: and before anybody looks it has passed that revision. */
const caughtUp =
  (compacted: boolean): FaultRow["begin"] =>
  (scene) => {
    const { cluster, random } = scene;
    if (cluster.snapshots.length === 0) return () => undefined;
    const { revision } = cluster.etcd;
    cluster.restore(pick(random, cluster.snapshots));
    for (let write = 0; cluster.etcd.revision <= revision + 3; write++) {
      const value = new Uint8Array([write % 256]);
      cluster.etcd.edit({ operations: [{ put: { key: "somebody/else", value } }] });
    }
    if (compacted) cluster.compact();
    scene.hit();
    return reconciledAtEnd(scene);
  };

/** W12: a fresh one, or the other of a pair whose data is older; and back again. */
const replaced: FaultRow["begin"] = (scene) => {
  const { cluster, random } = scene;
  if (cluster.snapshots.length === 0) return () => undefined;
  const snapshot = pick(random, cluster.snapshots);
  const own = { data: cluster.etcd.snapshot(), clusterId: cluster.etcd.status().clusterId };
  cluster.restore(snapshot, { clusterId: own.clusterId + 0x100n });
  scene.hit();
  if (chance(random, 2)) return reconciledAtEnd(scene);
  return () => {
    cluster.restore(own.data, { clusterId: own.clusterId });
    cluster.reconcile();
  };
};

/** X02: a node goes and returns, and the etcd is restored to the moment between. */
const betweenNodes: FaultRow["begin"] = (scene) => {
  const { cluster } = scene;
  if (!cluster.hasNode2) return () => undefined;
  cluster.removeNode(2);
  const between = cluster.etcd.snapshot();
  scene.after(500, () => {
    cluster.addNode(2);
    for (const number of [9, 10]) cluster.putIp(number);
  });
  scene.after(1_400, () => {
    scene.hit();
    cluster.restore(between);
  });
  return () => cluster.reconcile();
};

/** W13 */
const emptied: FaultRow["begin"] = (scene) => {
  scene.cluster.lose();
  scene.hit();
  return reconciledAtEnd(scene);
};

/** W14: by deletes or by values that say nothing; told to be meant or not; back again or not. */
const withdrawn: FaultRow["begin"] = (scene) => {
  const { cluster, random } = scene;
  scene.hit();
  const marked = chance(random, 4);
  if (marked) cluster.put(drainKey(cluster.name), "");
  const unmark = (): void => {
    if (marked) cluster.remove(drainKey(cluster.name));
  };
  if (chance(random, 2)) {
    const pods = Array.from({ length: 12 }, (_, index) => index + 1);
    for (const service of SERVICES) cluster.setPods(service, pods);
    scene.after(1_000, () => {
      const shared = chance(random, 2);
      for (const service of SERVICES) cluster.setPods(service, shared ? [] : pods, shared);
    });
    return unmark;
  }
  const keys = cluster.wanted(resource("ip").statePrefix(cluster.name));
  cluster.edit(new Map(keys.map((key) => [key, undefined])));
  const back = chance(random, 2);
  return () => {
    unmark();
    if (back) cluster.edit(new Map(cluster.homedPods().map((pod) => [cluster.ipKey(pod), cluster.ipValue(pod)])));
  };
};

export const WORLD_ROWS: readonly FaultRow[] = [
  row("W10", "an etcd is restored from a backup", restored, 3),
  row("W11", "restored, and past the revision that was seen before anybody looks", caughtUp(false), 3),
  row("W11b", "the same, and compacted", caughtUp(true)),
  row("W12", "another etcd behind the same address", replaced, 3),
  row("W13", "an etcd that lost its data", emptied, 3),
  row("W14", "state is withdrawn in one piece", withdrawn, 3),
  row("X02", "a node returns, and the etcd is restored to the moment before", betweenNodes),
];
