/** W01..W09, W15..W18: what an etcd and its streams do to those who list and watch it. */
import { eventKey, revisionOf, type WatchEvent } from "../../../src/kv/client.ts";
import { MemoryEtcd } from "../../../src/kv/memory.ts";
import { isInRange } from "../../../src/kv/memory-store.ts";
import { STATE_PREFIX } from "../../../src/wire/keys.ts";
import { resource, stateKey } from "../../../src/wire/resources.ts";
import { below, bendAll, chance, type FaultRow, linksTo, nothing, pick, row, type Scene, silently } from "./row.ts";

/** Some changes at the scene's cluster, so that there is something to lose. */
function change({ cluster, random }: Scene, times = 1): void {
  for (let time = 0; time < times; time++) {
    const number = 1 + below(random, 8);
    if (chance(random, 3)) cluster.remove(cluster.ipKey(number));
    else cluster.putIp(number);
  }
}

/** Makes every mirror of the cluster connect anew; compacted, so that it has to list. */
function relist({ stage, cluster }: Scene): void {
  cluster.compact();
  for (const link of linksTo(stage, cluster)) link.cut();
}

/** W01 */
const compactedWhileAway: FaultRow["begin"] = (scene) => {
  const { stage, cluster } = scene;
  const ends = linksTo(stage, cluster).map((link) => link.refuse("connection refused"));
  scene.every(500, () => change(scene));
  return () => {
    change(scene);
    cluster.compact();
    scene.hit();
    for (const end of ends) end();
  };
};

/** W02 */
const compactedWhileListed: FaultRow["begin"] = (scene) => {
  const { cluster } = scene;
  let left = 3;
  const end = bendAll(scene, {
    range(request, pass) {
      const laterPage = request.limit !== undefined && request.revision !== undefined;
      if (laterPage && left > 0 && request.key.startsWith(STATE_PREFIX) && chance(scene.random, 4)) {
        left--;
        change(scene, 2);
        cluster.compact();
        scene.hit();
      }
      return pass();
    },
  });
  relist(scene);
  scene.every(3_000, () => relist(scene));
  return end;
};

/** W03 */
const createdAndCanceled: FaultRow["begin"] = (scene) => {
  const reason = pick(scene.random, ["etcdserver: no leader", "etcdserver: permission denied", "watch canceled"]);
  const end = bendAll(scene, {
    created(sink, header) {
      sink.created(header);
      if (!chance(scene.random, 4)) return;
      scene.hit();
      sink.ended({ cause: "canceled", detail: reason });
    },
  });
  scene.cluster.etcd.cancelWatches(reason);
  return end;
};

/** W04: the store forgets a deletion with the compaction at its very revision; a watch that goes on from there never hears of it. */
const deletedAtCompaction: FaultRow["begin"] = (scene) => {
  const { stage, cluster, random } = scene;
  const wanted = cluster.wanted(resource("ip").statePrefix(cluster.name));
  if (wanted.length === 0) return nothing;
  const ends = linksTo(stage, cluster).map((link) => link.refuse("connection refused"));
  cluster.remove(pick(random, wanted));
  cluster.compact();
  scene.hit();
  return silently(scene, () => {
    for (const end of ends) end();
  });
};

/** W05 */
const droppedEvents: FaultRow["begin"] = (scene) =>
  silently(
    scene,
    bendAll(scene, {
      events(sink, events, header) {
        const kept = events.filter((event) => !isState(event) || !chance(scene.random, 2));
        if (kept.length < events.length) scene.hit();
        if (kept.length > 0) sink.events(kept, header);
      },
    }),
  );

function isState(event: WatchEvent): boolean {
  return eventKey(event).startsWith(STATE_PREFIX);
}

/** W06: events wait, progress does not. */
const progressAhead: FaultRow["begin"] = (scene) => {
  const { clock } = scene.stage.world;
  const freeAtMs = new Map<object, number>();
  return silently(
    scene,
    bendAll(scene, {
      events(sink, events, header, request) {
        const atMs = Math.max(freeAtMs.get(request) ?? 0, clock.nowMs() + scene.random.next() * 2_000);
        freeAtMs.set(request, atMs);
        scene.hit();
        clock.after(atMs - clock.nowMs(), () => sink.events(events, header));
      },
    }),
  );
};

/** W07 */
const sentTwice: FaultRow["begin"] = (scene) => {
  const last = new Map<object, readonly WatchEvent[]>();
  return bendAll(scene, {
    events(sink, events, header, request) {
      sink.events(events, header);
      const before = last.get(request) ?? events;
      last.set(request, events);
      if (!chance(scene.random, 2)) return;
      scene.hit();
      sink.events(pick(scene.random, [events, [...before, ...events]]), header);
    },
  });
};

/** W08: a member that is behind serves the watch from an older revision than asked for. */
const olderThanAsked: FaultRow["begin"] = (scene) => {
  const { cluster } = scene;
  const end = bendAll(scene, {
    created(sink, header, request) {
      sink.created(header);
      const { key, rangeEnd, startRevision = 0 } = request;
      const older = cluster.etcd.past.filter(
        (event) => isInRange(eventKey(event), key, rangeEnd) && revisionOf(event) < startRevision,
      );
      if (older.length === 0) return;
      scene.hit();
      sink.events(older, header);
    },
  });
  for (const link of linksTo(scene.stage, cluster)) link.cut();
  scene.every(2_500, () => {
    change(scene);
    for (const link of linksTo(scene.stage, cluster)) link.cut();
  });
  return end;
};

/** W09: reads that any member may answer, and one is behind. */
const memberBehind: FaultRow["begin"] = (scene) => {
  const { cluster, stage, random } = scene;
  const behind = new MemoryEtcd({ clock: stage.world.clock });
  // Without leases: a member that is behind lets nothing run out by itself.
  behind.restore({ ...cluster.etcd.snapshot(), leases: new Map() }, cluster.etcd.status().clusterId);
  change(scene, 2);
  const { resetMs } = cluster.etcd;
  const end = bendAll(scene, {
    async range(request, pass) {
      if (!chance(random, 3)) return pass();
      const answer = await pass();
      // A restore takes all members with it.
      if (answer.revision <= behind.revision || cluster.etcd.resetMs !== resetMs) return answer;
      scene.hit();
      return behind.range(request);
    },
  });
  for (const link of linksTo(stage, cluster)) link.cut();
  scene.every(2_000, () => {
    change(scene);
    for (const link of linksTo(stage, cluster)) link.cut();
  });
  return end;
};

/** W15: others write into the etcd too. */
const gaps: FaultRow["begin"] = (scene) => {
  let writes = 0;
  scene.every(100, () => {
    const value = new Uint8Array([writes++ % 256]);
    scene.cluster.etcd.edit({ operations: [{ put: { key: "somebody/else", value } }] });
    scene.hit();
  });
  return nothing;
};

/** W16: a long response, and the connections break before its last fragment. */
const brokenFragments: FaultRow["begin"] = (scene) => {
  const { cluster, random } = scene;
  const burst = (): void => {
    const pods = Array.from({ length: 8 }, (_, index) => index + 1);
    cluster.edit(new Map(pods.map((number) => [cluster.ipKey(number), cluster.ipValue(number)])));
    scene.after(1 + below(random, 6), () => {
      scene.hit();
      cluster.etcd.cut();
    });
  };
  burst();
  scene.every(4_000, burst);
  return nothing;
};

const MANY = 110;

/** W17 */
const wideRevision: FaultRow["begin"] = (scene) => {
  const { cluster } = scene;
  const key = (number: number): string => stateKey("ip", cluster.name, `10.${cluster.id}.7.${number}`);
  const pods = Array.from({ length: MANY }, (_, index) => index + 1);
  const value = (number: number): Uint8Array => cluster.ipValue(1, { address: `10.${cluster.id}.7.${number}` });
  cluster.edit(new Map(pods.map((number) => [key(number), value(number)])));
  scene.hit();
  return () => cluster.removeBelow(stateKey("ip", cluster.name, `10.${cluster.id}.7.`));
};

/** W18 */
const hotKey: FaultRow["begin"] = (scene) => {
  const { cluster, random } = scene;
  const number = 1 + below(random, 8);
  scene.every(20, () => {
    scene.hit();
    cluster.putIp(number);
  });
  return nothing;
};

export const WATCH_ROWS: readonly FaultRow[] = [
  row("W01", "compaction passes the watched revision while disconnected", compactedWhileAway),
  row("W02", "compaction during a paged list", compactedWhileListed),
  row("W03", "a watch is created and canceled at once", createdAndCanceled),
  row("W04", "a deletion is lost at exactly the compacted revision", deletedAtCompaction),
  row("W05", "a watch drops events", droppedEvents),
  row("W06", "progress comes ahead of events", progressAhead),
  row("W07", "events come twice", sentTwice),
  row("W08", "events older than the start revision", olderThanAsked),
  row("W09", "reads are answered by a member that is behind", memberBehind),
  row("W15", "gaps between revisions", gaps),
  row("W16", "the stream breaks between fragments", brokenFragments),
  row("W17", "one revision with more events than a transaction holds", wideRevision, 2),
  row("W18", "one key changes all the time", hotKey, 1),
];
