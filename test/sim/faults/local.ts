/** L rows: what happens to the local etcd and to the processes that write into it; P01: to the agent. */
import { KVSTOREMESH_LOCK_PREFIX } from "../../../src/wire/keys.ts";
import { below, chance, type FaultRow, leaderOf, mirrorsOf, nothing, others, pick, row } from "./row.ts";

/** L04: stopped, or silent. */
const down: FaultRow["begin"] = ({ cluster, random, hit }) => {
  hit();
  if (chance(random, 2)) {
    cluster.etcd.stop();
    return () => cluster.etcd.start();
  }
  cluster.etcd.pause();
  return () => cluster.etcd.resume();
};

/** L03 */
const full: FaultRow["begin"] = ({ cluster, hit }) => {
  hit();
  cluster.etcd.setNoSpace(true);
  return () => cluster.etcd.setNoSpace(false);
};

/** L05 */
const restarted: FaultRow["begin"] = (scene) => {
  const { stage, cluster, random } = scene;
  const mirrors = mirrorsOf(stage, cluster);
  for (const mirror of mirrors) mirror.kill();
  scene.after(scene.durationMs / 2, () => {
    for (const remote of others(stage, cluster)) {
      const key = remote.ipKey(1 + below(random, 8));
      if (!remote.wants(key)) continue;
      remote.remove(key);
      scene.hit();
    }
  });
  return () => {
    for (const mirror of mirrors) mirror.start();
  };
};

/** L08 */
const leaseGone: FaultRow["begin"] = (scene) => {
  const { cluster } = scene;
  const revoke = (): void => {
    const [lock] = cluster.etcd.entries(`${KVSTOREMESH_LOCK_PREFIX}/`);
    if (!lock) return;
    cluster.etcd.revokeLease(lock.leaseId);
    scene.hit();
  };
  revoke();
  scene.every(6_000, revoke);
  return nothing;
};

/** L09: for longer than its lease lives. */
const leaderPaused: FaultRow["begin"] = (scene) => {
  const leader = leaderOf(scene.stage, scene.cluster);
  if (!leader) return nothing;
  leader.stop();
  scene.hit();
  return () => leader.continue();
};

/** L10: the new leader dies while it lists, and another one has to. */
const failoverWhileListing: FaultRow["begin"] = (scene) => {
  const { stage, cluster } = scene;
  const mirrors = mirrorsOf(stage, cluster);
  leaderOf(stage, cluster)?.kill();
  let killed = false;
  scene.every(2, () => {
    const leader = leaderOf(stage, cluster);
    const lists = leader?.status()?.remotes.some(({ phase }) => phase === "listing" || phase === "reconciling");
    if (killed || !leader || !lists) return;
    killed = true;
    scene.hit();
    leader.kill();
    for (const mirror of mirrors) if (mirror !== leader) mirror.start();
  });
  if (mirrors.length === 1) scene.after(100, () => mirrors[0]?.start());
  return () => {
    for (const mirror of mirrors) mirror.start();
  };
};

/** L11: the agents' view of W10 and W13. */
const wiped: FaultRow["begin"] = ({ cluster, random, hit }) => {
  hit();
  if (chance(random, 2) || cluster.snapshots.length === 0) cluster.lose();
  else cluster.restore(pick(random, cluster.snapshots));
  return () => cluster.reconcile();
};

/** L11b: and the backup holds the lock of the leader that still runs. */
const restoredWithLock: FaultRow["begin"] = ({ cluster, random, hit }) => {
  if (cluster.snapshots.length === 0) return nothing;
  cluster.restore(pick(random, cluster.snapshots), { keepsLock: true });
  hit();
  return () => cluster.reconcile();
};

/** L13 */
const lateWrites: FaultRow["begin"] = (scene) => {
  const { stage, cluster, random, hit } = scene;
  const busy = pick(random, others(stage, cluster));
  scene.every(700, () => busy.putIp(1 + below(random, 3)));
  const mirrors = mirrorsOf(stage, cluster);
  for (const mirror of mirrors) {
    mirror.lateShare = pick(random, [0.1, 0.3, 0.6]);
    mirror.onLate = hit;
  }
  return () => {
    for (const mirror of mirrors) mirror.lateShare = 0;
  };
};

/** P01: wherever it is in its writing. */
const agentKilled: FaultRow["begin"] = (scene) => {
  const agent = scene.stage.agents.find(({ own }) => own === scene.cluster);
  const crash = (): void => {
    scene.hit();
    agent?.kill();
    scene.after(1 + below(scene.random, 40), () => agent?.start());
  };
  crash();
  scene.every(1_500, crash);
  return () => agent?.start();
};

export const LOCAL_ROWS: readonly FaultRow[] = [
  row("L03", "the local etcd is out of space", full),
  row("L04", "the local etcd is down, or silent", down),
  row("L05", "mirrors restart, and remotes withdrew something meanwhile", restarted),
  row("L08", "the leader's lease is gone", leaseGone),
  row("L09", "a leader is paused and wakes", leaderPaused, 3),
  row("L10", "leaders change in the middle of a list", failoverWhileListing),
  row("L11", "the local etcd is restored or wiped", wiped),
  row("L11b", "the local etcd is restored, the leader's lock with it", restoredWithLock),
  row("L13", "writes are applied after their sender gave up", lateWrites, 3),
  row("P01", "an agent dies while it writes its maps", agentKilled),
];
