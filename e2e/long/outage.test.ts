/** Remotes that are away for half a minute and for three, under the settings that the product comes with: nothing is scaled. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { WatchEvent } from "../../src/kv/client.ts";
import { RealCluster } from "../mirror/cluster.ts";
import { IN_EARNEST, type MirrorProcess, pause, Stage, until } from "../mirror/stage.ts";
import { Wire } from "../mirror/wire.ts";

const PODS = 6_000;
/** No more than a fifth, which no guard holds. */
const DELETED = 1_000;
/** A remote is tried again after 30 s at most (`backoff-cap-ms`); the rest is for a busy machine. */
const PROMPT_MS = 45_000;
const BEAT_MS = 10_000;

let stage: Stage;
let wires: Wire[] = [];
afterEach(async () => {
  for (const wire of wires) wire.close();
  wires = [];
  await stage.end();
});

async function remote(name: string, id: number): Promise<{ readonly cluster: RealCluster; readonly wire: Wire }> {
  const cluster = await RealCluster.populated(name, id, PODS);
  const wire = await Wire.start(Number(new URL(cluster.server.endpoint).port));
  wires.push(wire);
  stage.configure(cluster, `http://127.0.0.1:${wire.port}`);
  return { cluster, wire };
}

const aboutOf = (events: readonly WatchEvent[], { name }: RealCluster): readonly WatchEvent[] =>
  events.filter((event) => (event.type === "put" ? event.kv.key : event.key).includes(`/v1/${name}/`));

async function outage(
  mirror: MirrorProcess,
  { cluster, wire }: Awaited<ReturnType<typeof remote>>,
  how: { readonly awayMs: number; readonly grades: readonly string[]; leave(): unknown; comeBack(): unknown },
  events: readonly WatchEvent[],
): Promise<void> {
  const { name } = cluster;
  const lossesBefore = (await mirror.remote(name))?.losses ?? 0;
  const before = await stage.fingerprint(cluster);
  await how.leave();
  await pause(how.awayMs);
  const away = await mirror.remote(name);
  assert.equal(away?.connected, false, `${name}: it is known to be away`);
  assert(how.grades.includes(away.grade), `${name} is ${away.grade}`);
  assert((away.ageMs ?? 0) >= how.awayMs, `${name}: ${away.ageMs} ms old`);
  assert.equal(away.losses, lossesBefore + 1);
  assert.equal(await stage.fingerprint(cluster), before, `${name}: kept as it was`);

  // Back, and changed, before the mirror can look.
  wire.cut(false);
  await how.comeBack();
  for (let number = 1; number <= DELETED; number++) cluster.remove(cluster.ipKey(number));
  cluster.putIp(DELETED + 1, "changed");
  cluster.beat();
  await cluster.flush();
  const startedMs = performance.now();
  wire.cut(true);
  await stage.mirrored(cluster, PODS - DELETED, PROMPT_MS);
  const tookMs = Math.round(performance.now() - startedMs);
  process.stdout.write(
    `${name}: away for ${how.awayMs / 1_000} s, all there ${tookMs} ms after its way back was open\n`,
  );
  const about = aboutOf(events, cluster);
  assert.equal(about.filter(({ type }) => type === "delete").length, DELETED, "each once, and nothing else");
  assert.equal(about.length, DELETED + 1);
  await until(`${name} is fresh`, async () => {
    const back = await mirror.remote(name);
    return back?.grade === "fresh" && back.connected && back.holds.length === 0 ? true : undefined;
  });
}

test("away for 30 s (silent) and for 180 s (dead), at the product's own settings: kept, and what was deleted meanwhile goes promptly", async () => {
  stage = await Stage.start();
  const [osaka, tokyo, virginia] = [await remote("osaka", 2), await remote("tokyo", 3), await remote("virginia", 4)];
  const mirror = stage.mirror({}, IN_EARNEST);
  for (const { cluster } of [osaka, tokyo, virginia]) await stage.mirrored(cluster, PODS, PROMPT_MS);
  await until("all are followed", async () =>
    (await mirror.status())?.remotes.every(({ grade, connected }) => grade === "fresh" && connected) ? true : undefined,
  );
  const lock = await stage.held("cilium/kvstoremesh-lock/");
  const events = await stage.record();

  let over = false;
  const silent = {
    awayMs: 30_000,
    grades: ["suspect"],
    leave: () => osaka.cluster.server.stop(),
    comeBack: () => osaka.cluster.server.cont(),
  };
  const dead = {
    awayMs: 180_000,
    grades: ["suspect"],
    leave: () => tokyo.cluster.server.kill(),
    comeBack: () => tokyo.cluster.server.restart(),
  };
  const outages = Promise.all([outage(mirror, osaka, silent, events), outage(mirror, tokyo, dead, events)]).finally(
    () => {
      over = true;
    },
  );
  let beats = 0;
  const healthy = async (): Promise<void> => {
    for (; !over; await pause(BEAT_MS)) {
      virginia.cluster.putIp(++beats, `beat-${beats}`);
      virginia.cluster.beat();
      await virginia.cluster.flush();
      await stage.mirrored(virginia.cluster, PODS);
    }
  };
  await Promise.all([outages, healthy()]);
  assert(beats >= dead.awayMs / BEAT_MS / 2, `${beats} updates of the healthy one`);
  assert.equal(aboutOf(events, virginia.cluster).length, beats, "whose every update came, and nothing else");
  assert.deepEqual([...(await stage.held("cilium/kvstoremesh-lock/")).keys()], [...lock.keys()], "no lease was lost");
  assert.equal((await mirror.remote("virginia"))?.losses, 0);
});
