/** S rows: what a remote says that it should not, and what it says in the wrong order. */
import { encodeClusterConfig } from "../../../src/wire/cluster-config.ts";
import { CACHE_PREFIX, clusterConfigKey } from "../../../src/wire/keys.ts";
import { stateKey } from "../../../src/wire/resources.ts";
import { OTHER_ID } from "../audited-etcd.ts";
import type { SimCluster } from "../sim-cluster.ts";
import { below, chance, type FaultRow, linksTo, mirrorsOf, others, pick, row, type Scene } from "./row.ts";

type Json = Readonly<Record<string, unknown>>;

/** What an exporter would write, but for `changes`; no two are the same. */
function ip(scene: Scene, number: number, changes: Json = {}): string {
  const { cluster } = scene;
  const plain = JSON.parse(new TextDecoder().decode(cluster.ipValue(number))) as Json;
  return JSON.stringify({ ...plain, ...changes });
}

function node(cluster: SimCluster, name: string, changes: Json): string {
  const plain = {
    Name: name,
    Cluster: cluster.name,
    IPAddresses: [{ Type: "InternalIP", IP: cluster.nodeAddressOf(9) }],
    IPv4AllocCIDR: { IP: `10.${cluster.id}.0.0`, Mask: "//8AAA==" },
    ClusterID: cluster.id,
    Labels: { salt: `${cluster.nextVersion()}` },
  };
  return JSON.stringify({ ...plain, ...changes });
}

/** Tells lies one after the other; in the end the exporter repairs the keys. */
function lies(
  tell: (scene: Scene) => readonly (readonly [key: string, value: string | Uint8Array])[],
): FaultRow["begin"] {
  return (scene) => {
    const { cluster } = scene;
    const keys = new Set<string>();
    const lie = (): void => {
      const [key, value] = pick(scene.random, tell(scene));
      keys.add(key);
      scene.hit();
      cluster.lie(key, value);
    };
    lie();
    scene.every(1_000, lie);
    return () => {
      for (const key of keys) cluster.unlie(key);
    };
  };
}

/** A pod that is there, or one that is not. */
function pod({ random }: Scene): number {
  return 1 + below(random, 12);
}

function ipLie(scene: Scene, changes: Json): readonly [string, string] {
  const number = pod(scene);
  return [scene.cluster.ipKey(number), ip(scene, number, changes)];
}

/** An address that is none of its own, at the key that belongs to it. */
function ipAt(scene: Scene, address: string, changes: Json = {}): readonly [string, string] {
  return [stateKey("ip", scene.cluster.name, address), ip(scene, 1, { IP: address, ...changes })];
}

function victim(scene: Scene): SimCluster {
  return pick(scene.random, others(scene.stage, scene.cluster));
}

/** S01, S02 */
function otherId(idOf: (scene: Scene) => number): FaultRow["begin"] {
  return (scene) => {
    const { cluster } = scene;
    const config = encodeClusterConfig({
      id: idOf(scene),
      syncedCanaries: true,
      cached: false,
      maxConnectedClusters: 255,
      serviceExportsEnabled: false,
      endpointSlicesExportMode: "",
    });
    cluster.lie(clusterConfigKey(cluster.name), config);
    scene.hit();
    if (chance(scene.random, 2)) restartSomebody(scene);
    return () => cluster.unlie(clusterConfigKey(cluster.name));
  };
}

/** The incumbent is who is in the cache, also after a restart. */
function restartSomebody(scene: Scene): void {
  const local = victim(scene);
  scene.trouble(local);
  for (const mirror of mirrorsOf(scene.stage, local)) {
    scene.after(1_000, () => {
      mirror.kill();
      mirror.start();
    });
  }
}

/** S06: the new owner is first, the old one lets go later. */
const movingAddress: FaultRow["begin"] = (scene) => {
  const { cluster } = scene;
  const to = victim(scene);
  scene.trouble(to);
  const address = `172.20.${cluster.id}.1`;
  const own = (owner: SimCluster): void => {
    owner.put(owner.nodeKey("roamer"), node(owner, "roamer", roamer(owner, cluster.id)));
    owner.put(stateKey("ip", owner.name, address), owner.ipValue(1, { address }));
  };
  const letGo = (owner: SimCluster): void => {
    owner.remove(stateKey("ip", owner.name, address));
    owner.remove(owner.nodeKey("roamer"));
  };
  if (to.wants(to.nodeKey("roamer")) || cluster.wants(cluster.nodeKey("roamer"))) return () => undefined;
  own(cluster);
  scene.after(scene.durationMs / 3, () => {
    scene.hit();
    own(to);
  });
  return () => {
    letGo(cluster);
    scene.stage.world.clock.after(5_000, () => letGo(to));
  };
};

function roamer(owner: SimCluster, of: number): Json {
  return {
    IPAddresses: [{ Type: "InternalIP", IP: owner.nodeAddressOf(8) }],
    IPv4AllocCIDR: { IP: `172.20.${of}.0`, Mask: "////AA==" },
  };
}

/** S07: the same labels under two ids are two identities; other labels under an id that stands are refused by all who know it. */
const twoLabelSets: FaultRow["begin"] = (scene) => {
  const { cluster } = scene;
  const key = cluster.identityKey(0);
  const twin = cluster.identityKey(7);
  const labels = cluster.wantedAt(key);
  if (!labels || cluster.wants(twin)) return () => undefined;
  cluster.put(twin, labels);
  cluster.put(key, `k8s:app=changed-${cluster.nextVersion()};k8s:io.cilium.k8s.policy.cluster=${cluster.name};`);
  scene.hit();
  return () => {
    // Who came to know the other labels first must see them go.
    cluster.remove(key);
    cluster.put(key, labels);
    cluster.remove(twin);
  };
};

const MALFORMED = [
  "",
  "{",
  "null",
  "[]",
  '"x"',
  "NaN",
  "[".repeat(100_000),
  '{"__proto__":{}}',
  '{"IP":1e999}',
  "\ud800",
];

/** S11: what stands becomes invalid, and is then listed anew. */
const invalidOverRelist: FaultRow["begin"] = (scene) => {
  const { cluster, stage } = scene;
  const key = cluster.ipKey(1 + below(scene.random, 6));
  cluster.lie(key, `{"salt":${cluster.nextVersion()}}`);
  scene.after(500, () => {
    scene.hit();
    cluster.compact();
    for (const link of linksTo(stage, cluster)) link.cut();
  });
  return () => cluster.unlie(key);
};

/** S15: the identity comes later, or not at all. */
const beforeItsOwner: FaultRow["begin"] = (scene) => {
  const { cluster, random } = scene;
  const identity = 10 + below(random, 1_000);
  const number = 1 + below(random, 8);
  if (cluster.wants(cluster.identityKey(identity))) return () => undefined;
  cluster.put(cluster.ipKey(number), cluster.ipValue(number, { identity: cluster.identity(identity) }));
  scene.hit();
  const late = chance(random, 2);
  if (late) scene.after(scene.durationMs / 2, () => cluster.putIdentity(identity));
  return () => cluster.putIp(number);
};

export const HOSTILE_ROWS: readonly FaultRow[] = [
  row(
    "S01",
    "a remote says the id of another cluster",
    otherId((scene) => victim(scene).id),
  ),
  row(
    "S02",
    "a remote changes its id",
    otherId(({ cluster }) => cluster.id + OTHER_ID),
  ),
  row(
    "S03",
    "identities outside the remote's range, or reserved",
    lies((scene) => [
      ipLie(scene, { ID: victim(scene).identity(0) }),
      ipLie(scene, { ID: pick(scene.random, [0, 2, 3, 5, 7, 9, 10, 255]) }),
      ipLie(scene, { ID: pick(scene.random, [1, 4, 6, 8]) }),
      ipLie(scene, { ID: 2 ** 24 + 5 }),
      [
        stateKey("identities", scene.cluster.name, `${victim(scene).identity(4)}`),
        `k8s:app=${scene.cluster.nextVersion()};`,
      ],
    ]),
  ),
  row(
    "S04",
    "addresses that no remote may claim",
    lies((scene) => [
      ipAt(scene, pick(scene.random, ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "::1", "fe80::1"])),
      ipLie(scene, { Mask: "AAAAAA==" }),
      ipAt(scene, pick(scene.random, ["8.8.8.8", "10.200.0.1", "192.168.7.7"])),
      ipLie(scene, { IP: "0.0.0.0/0" }),
      [
        scene.cluster.nodeKey("wide"),
        node(scene.cluster, "wide", { IPv4AllocCIDR: { IP: "0.0.0.0", Mask: "AAAAAA==" } }),
      ],
    ]),
  ),
  row(
    "S05",
    "prefixes and node addresses of others",
    lies((scene) => {
      const { cluster } = scene;
      cluster.selfHarm = true;
      return [
        ipAt(scene, victim(scene).address(1)),
        [
          cluster.nodeKey("greedy"),
          node(cluster, "greedy", { IPv4AllocCIDR: { IP: `10.${victim(scene).id}.0.0`, Mask: "//8AAA==" } }),
        ],
        [
          cluster.nodeKey("twin"),
          node(cluster, "twin", { IPAddresses: [{ Type: "InternalIP", IP: victim(scene).nodeAddress }] }),
        ],
      ];
    }),
  ),
  row("S06", "an address moves, and its old owner lets go later", movingAddress),
  row("S07", "one identity with two label sets", twoLabelSets),
  row(
    "S08",
    "keys that lead elsewhere",
    lies((scene) => {
      const { cluster } = scene;
      const value = ip(scene, 1);
      const suffix = pick(scene.random, [
        "../x",
        "%2f",
        "10.9.0.1\0",
        `${cluster.address(1)}/`,
        "",
        `../${victim(scene).name}/x`,
      ]);
      const name = pick(scene.random, [`${cluster.name}-1`, victim(scene).name, "default"]);
      return [
        [stateKey("ip", cluster.name, suffix), value],
        [`cilium/state/nodes/v1/${name}/node-1`, node(cluster, "node-1", {})],
        [`cilium/state/services/v1/${name}/shop/cart`, `{"salt":${cluster.nextVersion()}}`],
      ];
    }),
  ),
  row(
    "S09",
    "values that are none",
    lies((scene) => {
      const bytes = pick(scene.random, MALFORMED);
      const { cluster, random } = scene;
      const key = pick(random, [
        cluster.ipKey(pod(scene)),
        cluster.serviceKey("cart"),
        cluster.nodeKey("node-1"),
        cluster.identityKey(0),
      ]);
      return [[key, bytes]];
    }),
  ),
  row("S11", "a value becomes invalid and is listed anew", invalidOverRelist),
  row(
    "S13",
    "a remote passes on what others say",
    lies((scene) => {
      const { cluster } = scene;
      const of = victim(scene);
      return [
        [`${CACHE_PREFIX}ip/v1/elsewhere/10.9.0.1`, ip(scene, 1, { IP: "10.9.0.1" })],
        [cluster.nodeKey("foreign"), node(of, "foreign", {})],
      ];
    }),
  ),
  row(
    "S14",
    "names twice, or in another case",
    lies((scene) => {
      const number = pod(scene);
      const { cluster, random } = scene;
      const plain = ip(scene, number).slice(0, -1);
      const more = pick(random, [
        `,"id":1}`,
        `,"ID":${cluster.identity(0)}}`,
        `,"iP":"${victim(scene).address(1)}"}`,
        `,"hostip":""}`,
      ]);
      return [[cluster.ipKey(number), plain + more]];
    }),
  ),
  row("S15", "a value comes before its owner", beforeItsOwner),
];
