/** Values and whom they belong to, through the whole mirror. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { eachInItsOwnWorld, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const reasons = () => world.mirror.setAside("osaka").map(({ key, reason }) => `${key.split("/").at(-1)} ${reason}`);

test("S15: an address whose identity or node comes later waits, is listed, and is mirrored then", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.put(osaka.ipKey(40), `{"IP":"10.2.0.40","HostIP":"10.2.255.7","ID":${osaka.identity(5)}}`);
  await clock.advance(500);
  assert.deepEqual(reasons(), ["10.2.0.40 parked"]);
  assert.equal(world.status("osaka").parked, 1);
  osaka.putIdentity(5);
  await clock.advance(500);
  assert.deepEqual(reasons(), ["10.2.0.40 parked"], "its node is still missing");
  osaka.putNode("node-7", "10.2.255.7");
  await clock.advance(500);
  assert.deepEqual(reasons(), []);
  world.assertMirrored("osaka");

  osaka.etcd.compact(osaka.etcd.revision);
  osaka.put(osaka.ipKey(41), `{"IP":"10.2.0.41","HostIP":"","ID":${osaka.identity(6)}}`);
  osaka.etcd.cut();
  await clock.advance(10_000);
  assert.deepEqual(reasons(), ["10.2.0.41 parked"], "found by a listing, it waits too");
  osaka.remove(osaka.ipKey(41));
  await clock.advance(2_000);
  assert.deepEqual(reasons(), []);
});

test("S04, S05: what is ours or another remote's is refused; when that remote is gone it is free", async () => {
  const osaka = world.addRemote("osaka", 2);
  world.addRemote("virginia", 3);
  await clock.advance(3_000);
  osaka.put("cilium/state/ip/v1/default/10.3.0.1", `{"IP":"10.3.0.1","HostIP":"","ID":${osaka.identity(0)}}`);
  osaka.put("cilium/state/ip/v1/default/10.100.1.1", `{"IP":"10.100.1.1","HostIP":"","ID":${osaka.identity(0)}}`);
  await clock.advance(1_000);
  assert.deepEqual(reasons().sort(), ["10.100.1.1 foreign-address", "10.3.0.1 foreign-address"]);
  const listed = () => world.local.entries("cilium/cache/ip/v1/osaka/").map(({ key }) => key);
  assert(!listed().some((key) => key.includes("10.3.") || key.includes("10.100.")));
  world.disk.remove("/etc/mesh/virginia");
  await clock.advance(60_000);
  assert.deepEqual(
    reasons().sort(),
    ["10.100.1.1 foreign-address", "10.3.0.1 parked"],
    "free, but no node of osaka declares it",
  );
});

test("S05: the incumbent is whoever is in the cache, also after a restart that reaches the other one first", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.etcd.stop();
  await world.restart();
  const oslo = world.addRemote("oslo", 4);
  oslo.put(oslo.nodeKey("greedy"), nodeValue("oslo", 4, "greedy", "10.2.0.0"));
  await clock.advance(10_000);
  assert.deepEqual(
    world.mirror.setAside("oslo").map(({ reason }) => reason),
    ["foreign-address"],
  );
  osaka.etcd.start();
  await clock.advance(60_000);
  world.assertMirrored("osaka");
});

test("S07: an identity cannot come to mean other labels; deleted first, it can", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const key = `cilium/state/identities/v1/id/${osaka.identity(0)}`;
  const cached = () => world.local.entries("cilium/cache/identities/v1/osaka/").map(({ value }) => String(value));
  const before = cached();
  osaka.put(key, "k8s:app=root;k8s:io.cilium.k8s.policy.cluster=osaka;");
  await clock.advance(1_000);
  assert.deepEqual(reasons(), [`${osaka.identity(0)} identity-changed`]);
  assert.deepEqual(cached(), before);
  await world.restart();
  await clock.advance(15_000);
  assert.deepEqual(reasons(), [`${osaka.identity(0)} identity-changed`], "a listing does not let it through either");
  assert.deepEqual(cached(), before);
  osaka.remove(key);
  osaka.put(key, "k8s:app=root;k8s:io.cilium.k8s.policy.cluster=osaka;");
  await clock.advance(1_000);
  assert.deepEqual(reasons(), []);
  world.assertMirrored("osaka");
});

test("allowed CIDRs of the configuration file bind the remote", async () => {
  world.addRemote("osaka", 2);
  world.configure("osaka", "endpoints:\n- http://osaka:2379\nbulkhead-allowed-cidrs: [10.2.255.0/24, 10.2.0.0/28]\n");
  await clock.advance(3_000);
  assert(reasons().includes("node-1 not-allowed"), "it declares more than it may");
  assert(reasons().includes("10.2.0.25 not-allowed"));
  assert.equal(world.status("osaka").entries["ip"], 15);
});

function nodeValue(cluster: string, id: number, name: string, podNet: string): string {
  const net = { IP: podNet, Mask: "//8AAA==" };
  return JSON.stringify({ Name: name, Cluster: cluster, ClusterID: id, IPAddresses: [], IPv4AllocCIDR: net });
}

test("allowed CIDRs that are widened owe the remote a listing: what they let in is there with the next connection, each time", async () => {
  world.addRemote("osaka", 2);
  const file = (pods: string) => `endpoints:\n- http://osaka:2379\nbulkhead-allowed-cidrs: [10.2.255.0/24, ${pods}]\n`;
  world.configure("osaka", file("10.2.0.0/28"));
  await clock.advance(40_000);
  assert.deepEqual(reasons().slice(0, 2), ["node-1 not-allowed", "10.2.0.16 not-allowed"]);
  // Sooner than the link of a remote that others keep busy would be listed again.
  for (const [pods, refused] of [
    ["10.2.0.0/27", ["node-1 not-allowed"]],
    ["10.2.0.0/16", []],
  ] as const) {
    world.configure("osaka", file(pods));
    await clock.advance(1_500);
    assert.deepEqual(reasons(), refused, pods);
  }
  world.assertMirrored("osaka");
});
