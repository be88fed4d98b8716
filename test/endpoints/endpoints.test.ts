import assert from "node:assert/strict";
import { test } from "node:test";
import { devicePatterns, devicePatternsFault } from "../../src/endpoints/device-patterns.ts";
import { Endpoints } from "../../src/endpoints/endpoints.ts";
import { KernelError, type NetworkState } from "../../src/kernel/door.ts";
import type { EndpointDevice } from "../../src/model/endpoint.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const device = (ifindex: number, name: string, ...addresses: readonly string[]): EndpointDevice => ({
  ifindex,
  name,
  addresses,
});

/** A node's devices, and which of them run the programs. */
class Node {
  devices: readonly EndpointDevice[] = [];
  ownAddresses: readonly string[] = ["192.0.2.1"];
  readonly programs = new Map<number, string>();
  /** What happened, in order. */
  readonly events: string[] = [];
  readonly failing = new Map<string, number>();
  readFails = false;
  #changed = true;

  set(...devices: readonly EndpointDevice[]): void {
    this.devices = devices;
    this.#changed = true;
  }

  changed(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  read(): NetworkState {
    if (this.readFails) throw new KernelError("reading links: EBUSY", 16, 0, true);
    return { devices: this.devices, ownAddresses: this.ownAddresses };
  }

  close(): void {}

  async attachDevice({ ifindex, name }: EndpointDevice) {
    const errno = this.failing.get(name);
    this.events.push(`attach ${name}${errno === undefined ? "" : " fails"}`);
    if (errno !== undefined) throw new KernelError(`attaching to ${name}`, errno);
    const outcome = this.programs.get(ifindex) === name ? "unchanged" : "created";
    this.programs.set(ifindex, name);
    return { from_endpoint: outcome } as const;
  }

  async detachOthers(ifindexes: ReadonlySet<number>): Promise<number> {
    const gone = [...this.programs.keys()].filter((ifindex) => !ifindexes.has(ifindex));
    for (const ifindex of gone) this.programs.delete(ifindex);
    return gone.length;
  }
}

function stage(node: Node, endpointCidrs?: readonly string[]) {
  const clock = new VirtualClock();
  const over = new AbortController();
  const endpoints = new Endpoints({
    network: node,
    programs: node,
    endpointDevices: "pod*,veth*",
    endpointCidrs,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    metrics: new Metrics(),
    signal: over.signal,
    networkIntervalMs: 100,
    driftIntervalMs: 30_000,
    backoff: { baseMs: 200, capMs: 1_000 },
    found: ({ devices }) => node.events.push(`found ${devices.map(({ name }) => name).join()}`),
  });
  const running = endpoints.run();
  return {
    clock,
    endpoints,
    async stop() {
      over.abort();
      await clock.settle(running);
    },
  };
}

test("on a fresh node devices are told first and attached only once the kernel holds entries; a later device is attached first", async () => {
  const node = new Node();
  node.set(device(3, "pod1", "10.0.0.1"), device(4, "pod2", "10.0.0.2"), device(5, "eth0"));
  const { clock, endpoints, stop } = stage(node);
  await clock.advance(2_000);
  assert.deepEqual(node.events, ["found pod1,pod2"]);
  assert.equal(node.programs.size, 0, "running pods are not cut off");
  assert.match(endpoints.status().problems.join(), /^2 devices: policy is not enforced yet/);
  endpoints.open();
  await clock.advance(100);
  assert.deepEqual([...node.programs.keys()], [3, 4]);
  node.events.length = 0;
  node.set(...node.devices, device(6, "veth9"));
  await clock.advance(100);
  assert.deepEqual(node.events, ["attach veth9", "found pod1,pod2,veth9"]);
  await stop();
});

test("where ranges are given, devices of others on the same host are left alone, and one without an address until it has one", async () => {
  const node = new Node();
  const other = device(4, "veth2", "10.77.21.2");
  node.set(device(3, "veth1", "10.77.11.2"), other, device(5, "veth3"));
  const { clock, endpoints, stop } = stage(node, ["10.77.11.0/24", "fd00:11::/64"]);
  endpoints.open();
  await clock.advance(100);
  assert.deepEqual([...node.programs.keys()], [3]);
  assert.deepEqual(
    endpoints.status().unmatched.map(({ name }) => name),
    ["veth2", "veth3"],
  );
  node.set(device(3, "veth1", "10.77.11.2"), other, device(5, "veth3", "10.77.21.9", "fd00:11::3"));
  await clock.advance(100);
  assert.deepEqual([...node.programs.keys()], [3, 5]);
  await stop();
});

test("a recreated device is attached again within 1 s; so is one whose addresses changed", async () => {
  const node = new Node();
  node.set(device(3, "pod1", "10.0.0.1"));
  const { clock, endpoints, stop } = stage(node);
  endpoints.open();
  await clock.advance(100);
  node.programs.clear();
  node.set(device(7, "pod1", "10.0.0.1"));
  await clock.advance(200);
  assert.deepEqual([...node.programs], [[7, "pod1"]]);
  node.programs.clear();
  node.set(device(7, "pod1", "10.0.0.9"));
  await clock.advance(200);
  assert.deepEqual([...node.programs], [[7, "pod1"]]);
  await stop();
});

test("a device that one reading lacks stays; two readings, and it is gone; its pins go a drift interval later", async () => {
  const node = new Node();
  node.set(device(3, "pod1"), device(4, "pod2"));
  const { clock, endpoints, stop } = stage(node);
  endpoints.open();
  await clock.advance(29_950);
  node.events.length = 0;
  node.set(device(3, "pod1"));
  await clock.advance(60);
  node.set(device(3, "pod1"), device(4, "pod2"));
  await clock.advance(200);
  assert(!node.events.includes("found pod1"), node.events.join("; "));
  node.set(device(3, "pod1"));
  await clock.advance(300);
  assert.equal(node.events.at(-1), "found pod1");
  await clock.advance(29_900);
  assert.equal(node.programs.has(4), true, "shown by a reading since the last drift scan");
  await clock.advance(30_100);
  assert.deepEqual([...node.programs.keys()], [3]);
  await stop();
});

test("a device that one reading lacked may be another one with the same index, name and addresses: it is attached again", async () => {
  const node = new Node();
  node.set(device(3, "pod1", "10.0.0.1"));
  const { clock, endpoints, stop } = stage(node);
  endpoints.open();
  await clock.advance(1_000);
  node.set();
  await clock.advance(60);
  node.programs.clear();
  await clock.advance(40);
  node.set(device(3, "pod1", "10.0.0.1"));
  await clock.advance(200);
  assert.deepEqual([...node.programs], [[3, "pod1"]]);
  await stop();
});

test("what somebody else detached is attached within the drift interval", async () => {
  const node = new Node();
  node.set(device(3, "pod1"));
  const { clock, endpoints, stop } = stage(node);
  endpoints.open();
  await clock.advance(1_000);
  node.programs.clear();
  await clock.advance(30_100);
  assert.deepEqual([...node.programs.keys()], [3]);
  await stop();
});

test("a device that cannot be attached is told and tried again with backoff; one that is gone is no problem", async () => {
  const node = new Node();
  node.failing.set("pod1", 16).set("pod2", 19);
  node.set(device(3, "pod1"), device(4, "pod2"), device(5, "pod3"));
  const { clock, endpoints, stop } = stage(node);
  endpoints.open();
  await clock.advance(5_000);
  const { problems, attached, devices } = endpoints.status();
  assert.deepEqual([problems.length, attached, devices], [1, 1, 3]);
  assert.match(problems[0] ?? "", /^device pod1: policy is not enforced on it/);
  const tries = node.events.filter((event) => event === "attach pod1 fails").length;
  assert(tries >= 5 && tries <= 25, `${tries} tries in 5 s with a backoff of 200 to 1000 ms`);
  node.failing.clear();
  await clock.advance(1_500);
  assert.deepEqual([...node.programs.keys()].sort(), [3, 4, 5]);
  assert.deepEqual(endpoints.status().problems, []);
  const calm = node.events.length;
  await clock.advance(5_000);
  assert.equal(node.events.length, calm, "nothing to do, nothing done");
  await stop();
});

test("a reading that fails takes nothing away, is told, and is tried again", async () => {
  const node = new Node();
  node.set(device(3, "pod1"));
  const { clock, endpoints, stop } = stage(node);
  endpoints.open();
  await clock.advance(200);
  node.readFails = true;
  node.set();
  await clock.advance(70_000);
  assert.match(endpoints.status().problems.join(), /network devices: reading links: EBUSY/);
  assert.deepEqual([...node.programs.keys()], [3]);
  assert.equal(endpoints.status().devices, 1);
  node.readFails = false;
  node.set(device(3, "pod1"), device(4, "pod2"));
  await clock.advance(1_200);
  assert.deepEqual([...node.programs.keys()], [3, 4]);
  assert.deepEqual(endpoints.status().problems, []);
  await stop();
});

test("in a hurry it looks at once", async () => {
  const node = new Node();
  const { clock, endpoints, stop } = stage(node);
  await clock.advance(10);
  node.set(device(3, "pod1"));
  endpoints.hurry();
  await clock.advance(1);
  assert.deepEqual(node.events, ["found ", "found pod1"]);
  await stop();
});

test("patterns: what they match, and what is refused", () => {
  const matches = devicePatterns("veth*,cali*,eth0.1*,*pod");
  assert.deepEqual(["veth1", "cali12ab", "eth0.12", "eth0x1", "mypod", "eth0", "xveth"].filter(matches), [
    "veth1",
    "cali12ab",
    "eth0.12",
    "mypod",
  ]);
  assert.equal(devicePatternsFault("veth*,cali*"), undefined);
  for (const bad of ["", "veth*,", "a b", "a/b", "abcdefghijklmnop"])
    assert.match(devicePatternsFault(bad) ?? "", /must be/);
});
