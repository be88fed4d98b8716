// Programs at devices, by tcx links and by clsact filters: attached, swapped under traffic without a gap, kept when nobody is alive, taken off.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { AttachOutcome, DeviceHook, LoadedObject, LoadRequest } from "../../src/kernel/door.ts";
import { libbpf } from "../../src/kernel/library.ts";
import { inNamespace } from "../../src/kernel/namespace.ts";
import type { DeviceKeeperTask } from "./device-keeper.ts";
import { mapOf } from "./entries.ts";
import { COUNT, decodeCountValue, encodeCountKey, PROBE_PROGRAMS, probeRequest } from "./probe.ts";
import { kernel, read, run, Stage, type Veth } from "./stage.ts";

const FLOOD = fileURLToPath(new URL("flood.ts", import.meta.url));
const KEEPER = fileURLToPath(new URL("device-keeper.ts", import.meta.url));
const SWAPS = 40;
const BETWEEN_SWAPS_MS = 10;
const FLOWING_PACKETS = 50;
const WAIT_MS = 5000;
const HOOKS: readonly DeviceHook[] = ["tcx", "clsact"];
const GATEWAY = "10.77.0.1";
const WORKLOAD = "10.77.0.2";

let stage: Stage;
let pod: string;
let veth: Veth;

beforeEach(() => {
  stage = new Stage();
  pod = stage.addPod();
  veth = stage.addVeth("veth1", pod, [`${WORKLOAD}/24`]);
  run("ip", "-n", stage.name, "addr", "add", `${GATEWAY}/24`, "dev", veth.name);
});
afterEach(() => stage.close());

async function load(version: 1 | 2, more: Partial<LoadRequest> = {}): Promise<LoadedObject> {
  return stage.keep(await kernel.load(probeRequest(stage, version, more)));
}

/** Calls from the stage's namespace, as the agent would be. */
function here<T>(action: () => T): T {
  return inNamespace(stage.namespacePath(), action);
}

function both(outcome: AttachOutcome): Record<string, AttachOutcome> {
  return { [PROBE_PROGRAMS.from]: outcome, [PROBE_PROGRAMS.to]: outcome };
}

/** Packets counted by both versions, from the pod and to it. */
function counted(object: LoadedObject): { from: number[]; to: number[] } {
  const at = (index: number): number => {
    const value = mapOf(object, "counts").lookup(encodeCountKey({ index }));
    return value === undefined ? 0 : Number(decodeCountValue(value).packets);
  };
  return { from: [at(COUNT.from + 1), at(COUNT.from + 2)], to: [at(COUNT.to + 1), at(COUNT.to + 2)] };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Packets that the device itself counted: received from the pod, handed to it. */
function deviceCounts(): { from: number; to: number } {
  const [link] = JSON.parse(read("ip", "-n", stage.name, "-s", "-j", "link", "show", "dev", veth.name)) as [
    { stats64: { rx: { packets: number }; tx: { packets: number } } },
  ];
  return { from: link.stats64.rx.packets, to: link.stats64.tx.packets };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const deadline = performance.now() + WAIT_MS; !holds(); ) {
    assert(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Datagrams both ways. Answers how to stop them. */
async function flood(): Promise<() => Promise<void>> {
  const children = [stage.spawnInPod(pod, FLOOD, GATEWAY), stage.spawn("outside", FLOOD, WORKLOAD)];
  const { from, to } = deviceCounts();
  const flowing = ({ from: nowFrom, to: nowTo }: ReturnType<typeof deviceCounts>): boolean =>
    nowFrom > from + FLOWING_PACKETS && nowTo > to + FLOWING_PACKETS;
  await until("packets flow", () => flowing(deviceCounts()));
  return async () => {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => once(child, "exit")));
  };
}

/** What the device and the probe counted up to one moment in which no packet went by. */
function countedTogether(object: LoadedObject): {
  device: ReturnType<typeof deviceCounts>;
  probe: ReturnType<typeof counted>;
} {
  for (;;) {
    const device = deviceCounts();
    const probe = counted(object);
    const after = deviceCounts();
    if (after.from === device.from && after.to === device.to) return { device, probe };
  }
}

/** More packets are counted by this version. */
async function counts(object: LoadedObject, version: 1 | 2): Promise<void> {
  const before = counted(object);
  const stop = await flood();
  const more = (side: "from" | "to"): boolean =>
    (counted(object)[side][version - 1] ?? 0) > (before[side][version - 1] ?? 0) + FLOWING_PACKETS;
  await until(`version ${version} counts`, () => more("from") && more("to"));
  await stop();
}

/** No packet is counted any more. */
async function countsNothing(object: LoadedObject): Promise<void> {
  const stop = await flood();
  const silent = async (): Promise<boolean> => {
    const before = JSON.stringify(counted(object));
    const device = deviceCounts();
    await until("packets flow", () => deviceCounts().from > device.from + FLOWING_PACKETS);
    return JSON.stringify(counted(object)) === before;
  };
  // The kernel takes a link off some moments after its pin is gone.
  for (const deadline = performance.now() + WAIT_MS; !(await silent()); ) assert(performance.now() < deadline);
  await stop();
}

for (const deviceHook of HOOKS) {
  test(`${deviceHook}: created, unchanged, replaced; the next process finds them`, async () => {
    const one = await load(1, { deviceHook });
    assert.deepEqual(await one.attachCgroup(stage.cgroup), {});
    assert.deepEqual(await here(() => one.attachDevice(veth)), both("created"));
    await counts(one, 1);
    assert.deepEqual(await here(() => one.attachDevice(veth)), both("unchanged"));
    one.close();
    const again = await load(1, { deviceHook });
    assert.deepEqual(await here(() => again.attachDevice(veth)), both("unchanged"));
    await counts(again, 1);
    const two = await load(2, { deviceHook });
    assert.deepEqual(await here(() => two.attachDevice(veth)), both("replaced"));
    const before = counted(two);
    await counts(two, 2);
    assert.deepEqual([counted(two).from[0], counted(two).to[0]], [before.from[0], before.to[0]]);
  });

  test(`${deviceHook}: swapped ${SWAPS} times under traffic, every packet is counted once`, async () => {
    const versions = [await load(1, { deviceHook }), await load(2, { deviceHook })] as const;
    await here(() => versions[0].attachDevice(veth));
    const start = countedTogether(versions[0]);
    const stop = await flood();
    for (let swap = 1; swap <= SWAPS; swap++) {
      assert.deepEqual(await here(() => versions[swap % 2 === 0 ? 0 : 1].attachDevice(veth)), both("replaced"));
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_SWAPS_MS));
    }
    await stop();
    const end = countedTogether(versions[0]);
    for (const side of ["from", "to"] as const) {
      const seen = end.probe[side].map((count, index) => count - (start.probe[side][index] ?? 0));
      assert(
        seen.every((count) => count > FLOWING_PACKETS),
        `${side}: ${seen} packets are no stream`,
      );
      assert.equal(sum(seen), end.device[side] - start.device[side], side);
    }
  });

  test(`${deviceHook}: the process is killed, its programs stay and are taken over`, async () => {
    const request = probeRequest(stage, 1, { deviceHook });
    const task: DeviceKeeperTask = { request, device: veth };
    const keeper = stage.spawn("outside", KEEPER, JSON.stringify(task));
    assert(keeper.stdout !== null);
    const [line] = (await once(createInterface(keeper.stdout), "line")) as [string];
    assert.deepEqual(JSON.parse(line), both("created"));
    keeper.kill("SIGKILL");
    await once(keeper, "exit");
    const object = await load(1, { deviceHook });
    await counts(object, 1);
    assert.deepEqual(await here(() => object.attachDevice(veth)), both("unchanged"));
  });

  test(`${deviceHook}: the device is gone: ENODEV; made again, with its index too: attached anew`, async () => {
    const object = await load(1, { deviceHook });
    await here(() => object.attachDevice(veth));
    run("ip", "-n", stage.name, "link", "delete", veth.name);
    const gone = here(() => object.attachDevice(veth));
    await assert.rejects(gone, { errno: 19, retryable: false });
    const other = ["name", "other", "index", `${veth.ifindex}`, "type", "veth"];
    run("ip", "-n", stage.name, "link", "add", ...other, "peer", "name", "eth0", "netns", pod);
    assert.deepEqual(await here(() => object.attachDevice({ ifindex: veth.ifindex, name: "other" })), both("created"));
    assert.deepEqual(
      await here(() => object.attachDevice({ ifindex: veth.ifindex, name: "other" })),
      both("unchanged"),
    );
  });

  test(`${deviceHook}: others are detached, whether their device exists or not, by the next process too`, async () => {
    const first = await load(1, { deviceHook });
    const kept = stage.addVeth("veth2", stage.addPod());
    const gone = stage.addVeth("veth3", stage.addPod());
    for (const device of [veth, kept, gone]) await here(() => first.attachDevice(device));
    run("ip", "-n", stage.name, "link", "delete", gone.name);
    first.close();
    const object = await load(1, { deviceHook });
    const expected = deviceHook === "tcx" ? 2 : 1;
    assert.equal(await here(() => object.detachOthers(new Set([kept.ifindex]))), expected);
    assert.equal(await here(() => object.detachOthers(new Set([kept.ifindex]))), 0);
    await countsNothing(object);
    assert.deepEqual(await here(() => object.attachDevice(kept)), both("unchanged"));
    assert.deepEqual(await here(() => object.attachDevice(veth)), both("created"));
    await counts(object, 1);
  });
}

test("a link whose pin was not yet in its place when its process died is neither kept nor doubled", async () => {
  const first = await load(1);
  await here(() => first.attachDevice(veth));
  for (const program of Object.values(PROBE_PROGRAMS)) {
    const pin = join(stage.pins, `link_${program}_${veth.ifindex}`);
    renameSync(pin, `${pin}_new`);
  }
  const object = await load(2);
  assert.deepEqual(await here(() => object.attachDevice(veth)), both("created"));
  assert.deepEqual(
    readdirSync(stage.pins).filter((name) => name.endsWith("_new")),
    [],
  );
  await counts(object, 2);
  const before = counted(object);
  await counts(object, 2);
  assert.deepEqual([counted(object).from[0], counted(object).to[0]], [before.from[0], before.to[0]]);
});

test("the mechanism is changed: one takes the other's place, both ways", async () => {
  const tcx = await load(1, { deviceHook: "tcx" });
  const clsact = await load(2, { deviceHook: "clsact" });
  assert.deepEqual(await here(() => tcx.attachDevice(veth)), both("created"));
  assert.deepEqual(await here(() => clsact.attachDevice(veth)), both("created"));
  assert(!existsSync(join(stage.pins, `link_${PROBE_PROGRAMS.from}_${veth.ifindex}`)));
  await until(
    "the links are gone",
    () => !read("bpftool", "-j", "link", "show").includes(`"ifindex":${veth.ifindex},"attach_type":"tcx`),
  );
  await counts(clsact, 2);
  assert.deepEqual(await here(() => tcx.attachDevice(veth)), both("created"));
  for (const side of ["ingress", "egress"]) {
    assert.equal(read("tc", "-n", stage.name, "filter", "show", "dev", veth.name, side), "");
  }
  await counts(tcx, 1);
});

test("a kernel without tcx: clsact does the work, unless tcx was asked for", async (context) => {
  context.mock.method(libbpf(), "createLink", () => -22);
  const strict = await load(1, { deviceHook: "tcx" });
  await assert.rejects(
    here(() => strict.attachDevice(veth)),
    { errno: 22 },
  );
  const object = await load(1);
  assert.deepEqual(await here(() => object.attachDevice(veth)), both("created"));
  assert.deepEqual(await here(() => object.attachDevice(veth)), both("unchanged"));
  await counts(object, 1);
  assert.equal(await here(() => object.detachOthers(new Set())), 1);
  await countsNothing(object);
});

test("filters that a process left beside its new links go with the first look around", async (context) => {
  const clsact = await load(2, { deviceHook: "clsact" });
  await here(() => clsact.attachDevice(veth));
  const tcx = await load(1);
  const dying = context.mock.method(libbpf(), "detachFilter", () => -1);
  assert.deepEqual(await here(() => tcx.attachDevice(veth)), both("created"));
  dying.mock.restore();
  assert.match(read("tc", "-n", stage.name, "filter", "show", "dev", veth.name, "ingress"), /from_probe/);
  assert.equal(await here(() => tcx.detachOthers(new Set([veth.ifindex]))), 1);
  assert.equal(read("tc", "-n", stage.name, "filter", "show", "dev", veth.name, "ingress"), "");
  await counts(tcx, 1);
});
