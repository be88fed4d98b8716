import assert from "node:assert/strict";
import { test } from "node:test";
import { below, type Random, seededRandom } from "../../src/runtime/random.ts";
import { rounds } from "../support/rounds.ts";
import { BILLING, podText, type Running, Scene } from "./scene.ts";

const SEEDS = rounds(8, 25);
const STEPS = 40;
const IDENTITIES = "cilium/state/identities/v1/id/";
const ADDRESSES = "cilium/state/ip/v1/default/";

/** What peers make of this cluster: each address with the labels behind its number, and every service. */
async function meaning(scene: Scene): Promise<Readonly<Record<string, unknown>>> {
  const seen: Record<string, unknown> = {};
  for (const [key, { value }] of await scene.keys()) {
    const text = new TextDecoder().decode(value);
    if (key.startsWith(ADDRESSES)) {
      const { ID, ...entry } = JSON.parse(text);
      seen[key] = { ...entry, labels: await scene.text(`${IDENTITIES}${ID}`) };
    } else if (key.includes("/services/") && !key.startsWith("cilium/synced/")) seen[key] = JSON.parse(text);
  }
  return seen;
}

/** Notes every number with its labels; fails when one ever changes its meaning. */
async function checkNumbers(scene: Scene, history: Map<string, string>): Promise<void> {
  const now = new Map<string, string>();
  for (const [key, { value }] of await scene.keys()) {
    if (key.startsWith(IDENTITIES)) now.set(key, new TextDecoder().decode(value));
  }
  assert.equal(new Set(now.values()).size, now.size, "one number per label set");
  for (const [key, labels] of history) assert.equal(now.get(key), labels, `${key} changed its meaning`);
  for (const [key, labels] of now) history.set(key, labels);
}

function changeFiles(scene: Scene, random: Random): void {
  const path = `/m/pod-${below(random, 6)}.yaml`;
  const wishes = { ip: `10.77.4.${below(random, 8)}`, labels: `app: ${["ledger", "till", "safe"][below(random, 3)]}` };
  const roll = below(random, 10);
  if (roll === 0) scene.disk.remove(path);
  else if (roll === 1) scene.disk.put(path, "# nothing");
  else if (roll === 2) scene.disk.put(path, "kind: [");
  else scene.disk.put(path, podText(`pod-${below(random, 8)}`, wishes));
}

async function churn(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const scene = new Scene(BILLING);
  const running: (Running | undefined)[] = [scene.start(), scene.start()];
  const history = new Map<string, string>();
  let up = true;
  for (let step = 0; step < STEPS; step++) {
    const roll = below(random, 12);
    const who = below(random, 2);
    if (roll === 0) {
      scene.etcd.stop();
      up = false;
    } else if (roll <= 2) {
      scene.etcd.start();
      up = true;
    } else if (roll === 5 && up) {
      scene.etcd.pause();
      await scene.clock.advance(below(random, 9_000));
      scene.etcd.resume();
    } else if (roll === 3) {
      await running[who]?.kill();
      running[who] = undefined;
    } else if (roll === 4) running[who] ??= scene.start();
    else changeFiles(scene, random);
    await scene.clock.advance(below(random, 5_000));
    if (up) await checkNumbers(scene, history);
  }
  scene.etcd.start();
  const names = new Set<string>();
  for (const pod of [0, 1, 2, 3, 4, 5]) {
    const text = await scene.disk.readText(`/m/pod-${pod}.yaml`).catch(() => "");
    const name = /name: (pod-\d+)/.exec(text)?.[1];
    // Of two that define one pod the incumbent stays, which a fresh exporter cannot know either.
    if (text === "kind: [" || (name !== undefined && names.has(name))) scene.disk.remove(`/m/pod-${pod}.yaml`);
    else if (name !== undefined) names.add(name);
  }
  running[0] ??= scene.start();
  await scene.clock.advance(60_000);
  await checkNumbers(scene, history);
  const fresh = new Scene({});
  for (const { name, bytes } of (await scene.disk.list("/m")).files) fresh.disk.put(`/m/${name}`, bytes);
  const { problems } = (await fresh.synced()).exporter.status();
  const expected = uncontested(await meaning(fresh), problems);
  assert.deepEqual(uncontested(await meaning(scene), problems), expected, `seed ${seed}`);
  await scene.end();
  await fresh.end();
}

/** Without addresses that several pods claim: whose they are depends on who came first, which a fresh exporter cannot know. */
function uncontested(
  seen: Readonly<Record<string, unknown>>,
  problems: readonly string[],
): Readonly<Record<string, unknown>> {
  const contested = problems.map((line) => / address (\S+) belongs /.exec(line)?.[1]);
  return Object.fromEntries(Object.entries(seen).filter(([key]) => !contested.includes(key.slice(ADDRESSES.length))));
}

test("through outages, kills and bad manifests: the etcd says in the end what the files say, and no number ever changes its meaning", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await churn(seed);
});
