import assert from "node:assert/strict";
import { test } from "node:test";
import { networkScripts, podLines } from "../../deploy/lab/network.ts";
import { paperAddresses, planLab, podAddresses } from "../../deploy/lab/plan.ts";
import { cidrContains, parseAddress, parseCidr } from "../../src/model/address.ts";

const lab = planLab("bulkhead", "/sys/fs/cgroup");
const nodes = lab.clusters.flatMap((cluster) => cluster.nodes);

function contains(cidr: string, address: string): boolean {
  const parsed = parseCidr(cidr);
  const bytes = parseAddress(address);
  assert.ok(parsed && bytes, `${cidr} ${address}`);
  return cidrContains(parsed, bytes);
}

test("the lab has three clusters of two nodes, each with an address of its own", () => {
  assert.deepEqual(
    lab.clusters.map(({ name, id }) => `${name} ${id}`),
    ["amsterdam 1", "osaka 2", "virginia 3"],
  );
  assert.equal(nodes.length, 6);
  assert.equal(new Set(nodes.flatMap((node) => node.addresses)).size, 12);
});

test("node names fit where the kernel allows 15 characters", () => {
  for (const node of nodes) assert.ok(node.name.length <= 15, node.name);
});

test("pods, generated ones too, have addresses of their cluster and of no other", () => {
  for (const cluster of lab.clusters) {
    const pods = cluster.nodes.map((node) => podAddresses(node, 10));
    const all = [...pods, paperAddresses(cluster, 0), paperAddresses(cluster, 2_499)];
    for (const addresses of all) {
      for (const [side, address] of addresses.entries()) {
        const homes = lab.clusters.filter(({ podCidrs }) => contains(podCidrs[side] ?? "", address));
        assert.deepEqual(homes, [cluster], address);
      }
    }
  }
});

test("generated addresses are distinct", () => {
  for (const cluster of lab.clusters) {
    const all = Array.from({ length: 2_500 }, (_, index) => paperAddresses(cluster, index)).flat();
    assert.equal(new Set(all).size, 5_000);
    assert.ok(
      all.every((address) =>
        cluster.paperCidrs.some((cidr) => contains(cidr, address) || isOtherFamily(cidr, address)),
      ),
    );
  }
});

function isOtherFamily(cidr: string, address: string): boolean {
  return cidr.includes(":") !== address.includes(":");
}

test("no namespace gets a default route, and service addresses are unreachable in every one", () => {
  const [node] = nodes;
  assert.ok(node);
  const pod = podLines(lab, node, { netns: "bulkhead.amsterdam.p", port: "pod10", addresses: podAddresses(node, 10) });
  const scripts = [...networkScripts(lab).map((script) => script.lines), pod];
  for (const lines of scripts) assert.ok(!lines.some((line) => / default|0\.0\.0\.0\/0| ::\/0/.test(line)));
  for (const lines of scripts.slice(1)) {
    for (const cidr of lab.clusters.flatMap((cluster) => cluster.serviceCidrs)) {
      assert.ok(
        lines.some((line) => line.endsWith(`route add unreachable ${cidr}`)),
        cidr,
      );
    }
  }
});

test("everything a lab makes is named by it, and no other lab's name begins so", () => {
  const other = planLab("bulkhead-2", "/sys/fs/cgroup");
  for (const node of nodes) assert.ok(node.netns.startsWith(lab.netnsPrefix));
  for (const node of other.clusters.flatMap((cluster) => cluster.nodes))
    assert.ok(!node.netns.startsWith(lab.netnsPrefix));
  assert.ok(!`${other.runDirectory}/`.startsWith(`${lab.runDirectory}/`));
  assert.notEqual(other.cgroup, lab.cgroup);
});
