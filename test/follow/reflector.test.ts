import assert from "node:assert/strict";
import { test } from "node:test";
import { Reflector } from "../../src/follow/reflector.ts";
import { faultyKube, type KubeFaults } from "../../src/kube/faulty.ts";
import type { MemoryKube } from "../../src/kube/memory.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { NATIVE_KINDS } from "../../src/wire/kube-kinds.ts";
import { memoryKube, pathOfKind, podBody } from "../support/kube-objects.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const PODS = pathOfKind("Pod");
const NAMESPACES = pathOfKind("Namespace");
const CLUSTERWIDE = "CiliumClusterwideNetworkPolicy";

class Stage {
  readonly clock = new VirtualClock();
  readonly kube: MemoryKube;
  readonly reflector: Reflector;
  readonly faults: (string | undefined)[] = [];
  changes = 0;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(kind = "Pod", faults: KubeFaults = {}, kube = memoryKube()) {
    this.kube = kube;
    for (const [index, name] of ["a-1", "b-1", "c-1", "d-1", "e-1"].entries()) {
      if (kind === "Pod") kube.put(PODS, podBody(name, `10.77.3.${index + 1}`));
    }
    const found = NATIVE_KINDS.find((one) => one.kind === kind);
    assert.ok(found);
    this.reflector = new Reflector({
      api: faultyKube(kube, faults),
      kind: found,
      clock: this.clock,
      random: seededRandom(3),
      signal: this.#stop.signal,
      pageSize: 2,
      progressTimeoutMs: 180_000,
      watchSeconds: 300,
      backoff: { baseMs: 100, capMs: 5_000 },
      changed: () => this.changes++,
      faulted: (fault) => this.faults.push(fault),
    });
    this.#done = this.reflector.run();
  }

  get keys(): readonly string[] {
    return [...this.reflector.objects.keys()].map((key) => key.replace("billing/", "")).sort();
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.clock.settle(this.#done);
    assert.equal(this.clock.pending, 0, "no timer is left");
    assert.equal(this.kube.watches, 0, "no watch is left");
  }
}

test("a list of several pages, then what changes", async () => {
  const stage = new Stage();
  await stage.clock.advance(50);
  assert.deepEqual(stage.keys, ["a-1", "b-1", "c-1", "d-1", "e-1"]);
  assert.equal(stage.changes, 1, "told once, whole");
  stage.kube.put(PODS, podBody("f-1", "10.77.3.6"));
  stage.kube.remove(PODS, "billing/a-1");
  await stage.clock.advance(50);
  assert.deepEqual(stage.keys, ["b-1", "c-1", "d-1", "e-1", "f-1"]);
  assert.equal(stage.reflector.lists, 1);
  assert.deepEqual(stage.faults, []);
  await stage.end();
});

test("a change of what is not kept is no change", async () => {
  const stage = new Stage();
  await stage.clock.advance(50);
  const before = stage.reflector.objects.get("billing/a-1")?.manifest;
  stage.kube.put(PODS, podBody("a-1", "10.77.3.1", { kubelet: "says something every now and then" }));
  await stage.clock.advance(50);
  assert.equal(stage.changes, 1);
  assert.equal(stage.reflector.objects.get("billing/a-1")?.manifest, before);
  stage.kube.put(PODS, podBody("a-1", "10.77.3.77"));
  await stage.clock.advance(50);
  assert.equal(stage.changes, 2);
  await stage.end();
});

test("a watch that the server ends, that breaks, or that is not answered just now goes on where it was: nothing is listed again, nothing is missed", async () => {
  for (const how of [undefined, "cut-off", "busy", "unauthorized", "forbidden"] as const) {
    const stage = new Stage();
    await stage.clock.advance(50);
    stage.kube.endWatches(how);
    stage.kube.put(PODS, podBody("f-1", "10.77.3.6"));
    stage.kube.remove(PODS, "billing/b-1");
    await stage.clock.advance(1_000);
    assert.deepEqual(stage.keys, ["a-1", "c-1", "d-1", "e-1", "f-1"]);
    assert.equal(stage.reflector.lists, 1);
    assert.equal(stage.reflector.fault, undefined);
    assert.equal(stage.faults.length, how === undefined ? 0 : 2, "said, and taken back");
    await stage.end();
  }
});

test("bookmarks move the version: after a compaction a quiet kind need not be listed again", async () => {
  for (const marked of [true, false]) {
    const stage = new Stage();
    await stage.clock.advance(50);
    for (let count = 0; count < 9; count++) stage.kube.put(NAMESPACES, { metadata: { name: `n${count}` } });
    stage.kube.compact();
    if (marked) stage.kube.bookmark();
    await stage.clock.advance(50);
    stage.kube.endWatches();
    await stage.clock.advance(10_000);
    assert.equal(stage.reflector.lists, marked ? 1 : 2);
    assert.equal(stage.reflector.fault, undefined, "410 is no fault");
    await stage.end();
  }
});

test("410: what was deleted meanwhile goes with the new list, and not before that is whole", async () => {
  let lists = true;
  const stage = new Stage("Pod", { fault: (call) => (call === "list" && !lists ? "unreachable" : undefined) });
  await stage.clock.advance(50);
  stage.kube.endWatches();
  stage.kube.remove(PODS, "billing/a-1");
  stage.kube.put(PODS, podBody("f-1", "10.77.3.6"));
  stage.kube.compact();
  lists = false;
  const kept = stage.reflector.objects.get("billing/c-1");
  await stage.clock.advance(60_000);
  assert.deepEqual(stage.keys, ["a-1", "b-1", "c-1", "d-1", "e-1"], "old, and whole");
  assert.match(stage.reflector.fault ?? "", /^pods: unreachable \(injected\); what is known stays$/);
  lists = true;
  await stage.clock.advance(10_000);
  assert.deepEqual(stage.keys, ["b-1", "c-1", "d-1", "e-1", "f-1"]);
  assert.equal(stage.reflector.objects.get("billing/c-1"), kept, "no second copy of what did not change");
  assert.equal(stage.reflector.fault, undefined);
  await stage.end();
});

test("pages that expire while they are read: the list begins anew, with larger pages", async () => {
  const pages: number[] = [];
  let left = 2;
  const kube = memoryKube();
  const list = kube.list.bind(kube);
  kube.list = (path, query, call) => {
    pages.push(query.limit);
    if (query.continue !== undefined && left-- > 0) kube.compact();
    return list(path, query, call);
  };
  const stage = new Stage("Pod", {}, kube);
  await stage.clock.advance(10_000);
  assert.deepEqual(stage.keys, ["a-1", "b-1", "c-1", "d-1", "e-1"]);
  assert.deepEqual(pages, [2, 2, 4, 4, 8]);
  assert.equal(stage.reflector.fault, undefined);
  await stage.end();
});

test("a server that is silent is given up in time; bookmarks keep a quiet watch alive", async () => {
  const stage = new Stage();
  await stage.clock.advance(50);
  for (let minute = 0; minute < 10; minute++) {
    await stage.clock.advance(60_000);
    stage.kube.bookmark();
  }
  await stage.clock.advance(50);
  assert.deepEqual(stage.faults, []);
  assert.ok(stage.reflector.ageMs < 1_000);
  await stage.clock.advance(180_100);
  assert.match(stage.faults[0] ?? "", /^pods: nothing heard for 180000 ms; /);
  await stage.clock.advance(1_000);
  assert.equal(stage.reflector.fault, undefined, "asked again, and answered");
  await stage.end();
});

test("a list that hangs is given up in time", async () => {
  let hangs = true;
  const stage = new Stage("Pod", { fault: (call) => (hangs && call === "list" ? "silent" : undefined) });
  await stage.clock.advance(180_100);
  assert.match(stage.reflector.fault ?? "", /^pods: nothing heard for 180000 ms; /);
  assert.equal(stage.reflector.listed, false);
  hangs = false;
  await stage.clock.advance(10_000);
  assert.equal(stage.keys.length, 5);
  await stage.end();
});

for (const [what, answer, expected] of [
  ["half a page", (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 9), /is no JSON/],
  ["a Status", () => encode({ kind: "Status", metadata: {}, message: "etcd is slow" }), /is a Status: etcd is slow/],
  ["no version", () => encode({ kind: "PodList", metadata: {}, items: [] }), /resourceVersion is missing/],
  ["no text", () => new Uint8Array([0xff, 0xfe]), /is not UTF-8/],
  [
    "a nameless object",
    () => encode({ metadata: { resourceVersion: "1" }, items: [{ metadata: {} }] }),
    /without a name/,
  ],
] as const) {
  test(`a server that answers a list with ${what} takes nothing away`, async () => {
    let broken = false;
    const stage = new Stage("Pod", { answer: (bytes, call) => (broken && call === "list" ? answer(bytes) : bytes) });
    await stage.clock.advance(50);
    broken = true;
    stage.kube.compact();
    stage.kube.endWatches();
    await stage.clock.advance(60_000);
    assert.equal(stage.keys.length, 5);
    assert.match(stage.reflector.fault ?? "", expected);
    broken = false;
    await stage.clock.advance(10_000);
    assert.equal(stage.reflector.fault, undefined);
    await stage.end();
  });
}

test("a line that makes no sense lists again", async () => {
  let broken = false;
  const stage = new Stage("Pod", { answer: (bytes, call) => (broken && call === "watch" ? encode(7) : bytes) });
  await stage.clock.advance(50);
  broken = true;
  stage.kube.remove(PODS, "billing/a-1");
  await stage.clock.advance(20);
  assert.match(stage.faults[0] ?? "", /event not understood: the line must be an object/);
  broken = false;
  await stage.clock.advance(1_000);
  assert.deepEqual(stage.keys, ["b-1", "c-1", "d-1", "e-1"]);
  assert.equal(stage.reflector.lists, 2);
  await stage.end();
});

test("a kind that the cluster does not have has no objects, if it may be absent; else that is a fault", async () => {
  const kinds = NATIVE_KINDS.filter(({ kind }) => kind !== CLUSTERWIDE && kind !== "Pod");
  const optional = new Stage(CLUSTERWIDE, {}, memoryKube(kinds));
  await optional.clock.advance(1_000);
  assert.equal(optional.reflector.listed, true);
  assert.equal(optional.reflector.fault, undefined);
  await optional.end();
  const needed = new Stage("Service", { fault: () => "absent" }, memoryKube(kinds));
  await needed.clock.advance(60_000);
  assert.equal(needed.reflector.listed, false);
  assert.match(needed.reflector.fault ?? "", /^services: absent/);
  await needed.end();
});

test("a kind that goes away while it has objects takes none of them with it", async () => {
  let absent = false;
  const stage = new Stage(CLUSTERWIDE, { fault: () => (absent ? "absent" : undefined) });
  const path = pathOfKind(CLUSTERWIDE);
  stage.kube.put(path, { metadata: { name: "open" }, spec: { endpointSelector: {}, ingress: [{}] } });
  await stage.clock.advance(50);
  absent = true;
  stage.kube.endWatches();
  await stage.clock.advance(120_000);
  assert.equal(stage.reflector.objects.size, 1);
  assert.match(stage.reflector.fault ?? "", /absent/);
  await stage.end();
});

test("restarts are jittered and grow: a server that cuts every watch is not stormed", async () => {
  let asked = 0;
  const stage = new Stage("Pod", {
    fault: (call) => {
      if (call === "watch") asked++;
      return call === "watch" ? "cut-off" : undefined;
    },
  });
  await stage.clock.advance(60_000);
  assert.ok(asked > 5 && asked < 60, `${asked} tries in a minute`);
  assert.equal(stage.reflector.lists, 1);
  await stage.end();
});

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
