/** N, A and C rows, H02, X01: networks, names, rights, certificates, configuration. */
import { KvError } from "../../../src/kv/client.ts";
import { MemoryEtcd } from "../../../src/kv/memory.ts";
import { below, bendAll, chance, type FaultRow, linksTo, mirrorsOf, nothing, others, pick, row } from "./row.ts";

/** N02: what is sent arrives and the answers do not, or the other way round. */
const asymmetric: FaultRow["begin"] = ({ stage, cluster, random, hit }) => {
  const silence = pick(random, ["requests", "answers"] as const);
  const ends = linksTo(stage, cluster).map((link) => link.silence(silence));
  hit();
  return () => {
    for (const end of ends) end();
  };
};

/** N03: 0.1 to 2 Hz. */
const flapping: FaultRow["begin"] = (scene) => {
  const { cluster, random } = scene;
  const periodMs = pick(random, [500, 1_000, 3_000, 10_000]);
  let up = true;
  scene.every(periodMs / 2, () => {
    up = !up;
    scene.hit();
    if (up) cluster.etcd.start();
    else cluster.etcd.stop();
  });
  return () => cluster.etcd.start();
};

function refused(reason: string): FaultRow["begin"] {
  return ({ stage, cluster, hit }) => {
    hit();
    const ends = linksTo(stage, cluster).map((link) => link.refuse(reason));
    return () => {
      for (const end of ends) end();
    };
  };
}

/** N06: the other one holds what this one held a while ago. Strictly in turn, so that no listing is of one etcd. */
const anotherEachTime: FaultRow["begin"] = (scene) => {
  const { stage, cluster, random } = scene;
  const [snapshot] = cluster.snapshots;
  if (!snapshot) return nothing;
  const other = new MemoryEtcd({ clock: stage.world.clock, clusterId: 0x77n });
  other.restore(snapshot);
  let calls = below(random, 2);
  const end = bendAll(scene, {
    async range(request, pass) {
      if (calls++ % 2 === 0) return pass();
      scene.hit();
      return other.range(request);
    },
    created: (sink, header) => sink.created(chance(random, 4) ? { ...header, clusterId: 0x77n } : header),
  });
  for (const link of linksTo(stage, cluster)) link.cut();
  return end;
};

/** N07 */
const allAtOnce: FaultRow["begin"] = (scene) => {
  const { clusters } = scene.stage;
  scene.trouble(...clusters);
  scene.hit();
  for (const { etcd } of clusters) etcd.stop();
  return () => {
    for (const { etcd } of clusters) etcd.start();
  };
};

/** H02 */
const blip: FaultRow["begin"] = (scene) => {
  const { clusters } = scene.stage;
  scene.trouble(...clusters);
  const cut = (): void => {
    scene.hit();
    for (const { etcd } of clusters) etcd.cut();
  };
  cut();
  scene.every(2_000, cut);
  return nothing;
};

/** A02 */
const revoked: FaultRow["begin"] = (scene) => {
  const denied = "etcdserver: permission denied";
  const end = bendAll(scene, {
    range() {
      scene.hit();
      return Promise.reject(new KvError("denied", denied));
    },
    created(sink, header) {
      sink.created(header);
      sink.ended({ cause: "canceled", detail: denied });
    },
  });
  scene.cluster.etcd.cancelWatches(denied);
  return end;
};

/** C01: of one mirror. */
const configurationGone: FaultRow["begin"] = ({ stage, cluster, random, hit }) => {
  const mirror = pick(random, mirrorsOf(stage, cluster));
  hit();
  const way = below(random, 4);
  if (way === 0) mirror.unconfigureAll();
  else if (way === 1) mirror.unmount();
  else mirror.breakDisk({ operation: way === 2 ? "list" : "read", code: "denied" });
  return () => {
    mirror.breakDisk(undefined);
    mirror.configureAll();
  };
};

/** X01: that is meant, and drains. */
const remoteRemoved: FaultRow["begin"] = ({ stage, cluster, random, hit }) => {
  const mirrors = mirrorsOf(stage, cluster);
  const { name } = pick(random, others(stage, cluster));
  for (const mirror of mirrors) mirror.unconfigure(name);
  hit();
  return () => {
    for (const mirror of mirrors) mirror.configure(name);
  };
};

export const NETWORK_ROWS: readonly FaultRow[] = [
  row("N02", "one direction of the network is dead", asymmetric, 3),
  row("N03", "a remote comes and goes", flapping),
  row("N05", "names do not resolve", refused("getaddrinfo ENOTFOUND")),
  row("N06", "every call is answered by another etcd", anotherEachTime),
  row("N07", "all etcds fail and return at once", allAtOnce),
  row("H02", "all connections are cut for a moment", blip, 1),
  row("A02", "the right to read is revoked", revoked),
  row("A04", "certificates are expired", refused("certificate has expired")),
  row("C01", "the configuration is gone, or cannot be read", configurationGone),
  row("X01", "one configuration file is removed, and put back", remoteRemoved),
];
