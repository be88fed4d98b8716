// The network as the agent sees it: veths whose other end is elsewhere, the addresses there, and that something changed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import type { Network } from "../../src/kernel/door.ts";
import { inNamespace } from "../../src/kernel/namespace.ts";
import { openNetwork, readLinks } from "../../src/kernel/network.ts";
import { run, Stage } from "./stage.ts";

const MANY = 100;
/** What an agent's poll may take; the reading itself takes a few ms. */
const READ_MS = 100;
const SEEN_MS = 200;
const QUIET_MS = 300;

let stage: Stage;
let network: Network;

function open(): Network {
  return inNamespace(stage.namespacePath(), openNetwork);
}

function wait(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Until the kernel has nothing more to say of what was done before. */
async function quiet(): Promise<void> {
  for (let quietMs = 0; quietMs < QUIET_MS; quietMs += 10) {
    await wait(10);
    if (network.changed()) quietMs = 0;
  }
}

/** How long until a change is heard. */
async function heardMs(): Promise<number> {
  const start = performance.now();
  while (!network.changed()) {
    assert(performance.now() - start < 10 * SEEN_MS, "nothing was heard");
    await wait(1);
  }
  return performance.now() - start;
}

beforeEach(() => {
  stage = new Stage();
  network = open();
});
afterEach(async () => {
  network.close();
  await stage.close();
});

test("own addresses and workloads' devices with the addresses at the other end, without what is the same everywhere", () => {
  stage.addAddress("192.0.2.7");
  stage.addAddress("2001:db8::7");
  const first = stage.addVeth("veth1", stage.addPod(), ["10.9.0.1/24", "2001:db8:9::1/64", "169.254.3.4/16"]);
  const pod = stage.addPod();
  const second = stage.addVeth("veth2", pod, ["10.9.0.3/32", "10.9.0.2/32"]);
  const third = stage.addVeth("veth3", pod, [], "eth1");
  run("ip", "-n", stage.name, "link", "add", "here1", "type", "veth", "peer", "name", "here2");
  run("ip", "-n", stage.name, "addr", "add", "192.0.2.8/24", "dev", "here1");
  run("ip", "-n", stage.name, "addr", "add", "192.0.2.8/24", "dev", "veth1");
  const { devices, ownAddresses } = network.read();
  assert.deepEqual(ownAddresses, ["192.0.2.7", "192.0.2.8", "2001:db8::7"]);
  assert.deepEqual(
    [...devices].sort((left, right) => left.ifindex - right.ifindex),
    [
      { ifindex: first.ifindex, name: "veth1", addresses: ["10.9.0.1", "2001:db8:9::1"] },
      { ifindex: second.ifindex, name: "veth2", addresses: ["10.9.0.2", "10.9.0.3"] },
      { ifindex: third.ifindex, name: "veth3", addresses: [] },
    ],
  );
  const kinds = inNamespace(stage.namespacePath(), readLinks).map(({ name, kind }) => `${name} ${kind}`);
  assert.deepEqual(kinds.sort(), ["here1 veth", "here2 veth", "lo ", "veth1 veth", "veth2 veth", "veth3 veth"]);
  for (const name of ["veth1", "veth2", "veth3", "here1"]) run("ip", "-n", stage.name, "link", "delete", name);
  assert.deepEqual(network.read().devices, []);
});

test("a new veth, an address in the pod, its going and the veth's: each is heard in time, and nothing when nothing happens", async () => {
  await quiet();
  assert.equal(network.changed(), false);
  const pod = stage.addPod();
  const veth = stage.addVeth("veth1", pod);
  assert((await heardMs()) < SEEN_MS);
  assert.deepEqual(network.read().devices, [{ ifindex: veth.ifindex, name: "veth1", addresses: [] }]);
  for (const verb of ["add", "delete"]) {
    await quiet();
    run("ip", "-n", pod, "addr", verb, "10.9.1.1/24", "dev", "eth0");
    assert((await heardMs()) < SEEN_MS, verb);
    assert.deepEqual(network.read().devices[0]?.addresses, verb === "add" ? ["10.9.1.1"] : []);
  }
  await quiet();
  run("ip", "netns", "delete", pod);
  assert((await heardMs()) < 5 * SEEN_MS);
  for (const start = performance.now(); network.read().devices.length > 0; await wait(5)) {
    assert(performance.now() - start < 10 * SEEN_MS);
  }
});

test("messages that found no room are a change too", async () => {
  await quiet();
  const pod = stage.addPod();
  stage.addVeth("veth1", pod);
  // More than a socket's buffer holds.
  const addresses = Array.from(
    { length: 1000 },
    (_, index) => `addr add 10.8.${index >> 8}.${index & 255}/32 dev eth0`,
  );
  run("sh", "-c", `printf '%s\\n' "$0" | ip -n ${pod} -batch -`, addresses.join("\n"));
  assert.equal(network.changed(), true);
  assert.equal(network.read().devices[0]?.addresses.length, 1000);
  await quiet();
  run("ip", "-n", pod, "addr", "add", "10.9.2.1/24", "dev", "eth0");
  assert((await heardMs()) < SEEN_MS);
  run("ip", "-n", stage.name, "link", "delete", "veth1");
});

test(`${MANY} workloads are read at once, while they change too`, async () => {
  const pods = Array.from({ length: MANY }, () => stage.addPod());
  for (const [index, pod] of pods.entries()) stage.addVeth(`veth${index}`, pod, [`10.9.3.${index + 1}/32`]);
  network.read();
  const start = performance.now();
  const { devices } = network.read();
  const readMs = performance.now() - start;
  assert.deepEqual(
    new Map(devices.map(({ name, addresses }) => [name, addresses.join()])),
    new Map(pods.map((_, index) => [`veth${index}`, `10.9.3.${index + 1}`])),
  );
  assert(readMs < READ_MS, `read in ${readMs} ms`);
  const names = pods.filter((_, index) => index % 2 === 0);
  const deleting = spawn("sh", ["-c", 'for pod; do ip netns delete "$pod"; done', "sh", ...names], { stdio: "ignore" });
  const gone = once(deleting, "exit");
  for (let left = MANY; left > MANY - names.length; await wait(1)) {
    const now = network.read().devices;
    assert(now.length <= left, `${now.length} devices after ${left}`);
    const addressOf = ({ name }: { name: string }): string => `10.9.3.${Number(name.slice("veth".length)) + 1}`;
    for (const device of now) assert.deepEqual(device.addresses, [addressOf(device)]);
    left = now.length;
  }
  await gone;
});

test("a closed network lets go of its sockets", () => {
  const other = open();
  other.close();
  assert.throws(() => other.read(), /EBADF/);
  assert.throws(() => other.changed(), /EBADF/);
});
