// The tools of the other tests and of the benches: a packet through a program, and what programs cost.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { LoadedObject } from "../../src/kernel/door.ts";
import { MemoryKernel } from "../../src/kernel/memory.ts";
import { inNamespace } from "../../src/kernel/namespace.ts";
import { programStats, testRun } from "../../src/kernel/test-run.ts";
import { mapOf } from "./entries.ts";
import { COUNT, decodeCountValue, encodeCountKey, probeRequest } from "./probe.ts";
import { kernel, run, Stage } from "./stage.ts";

const PACKET = Uint8Array.from({ length: 100 }, (_, index) => index);
const NO_MAP = 1000;
const DATAGRAMS = 20;

let stage: Stage;
let object: LoadedObject;

before(async () => {
  stage = new Stage();
  object = stage.keep(await kernel.load(probeRequest(stage, 1)));
});
after(() => stage.close());

function packets(index: number): number {
  const value = mapOf(object, "counts").lookup(encodeCountKey({ index }));
  return value === undefined ? 0 : Number(decodeCountValue(value).packets);
}

test("a packet goes through a program as often as asked, and comes out", () => {
  const { verdict, packet, durationNs } = testRun(object, "from_probe", { packet: PACKET, repeat: 10 });
  assert.deepEqual([verdict, packet, packets(COUNT.from + 1)], [0, PACKET, 10]);
  assert(durationNs < 1e6);
  assert.equal(testRun(object, "ask", { packet: PACKET }).verdict, NO_MAP);
});

test("the device must be in the caller's namespace; what cannot run is refused", async () => {
  const veth = stage.addVeth("veth1", stage.addPod());
  const ifindex = 4_000_000;
  assert.throws(() => testRun(object, "ask", { packet: PACKET, ifindex }), { name: "KernelError", errno: 19 });
  const there = () => testRun(object, "ask", { packet: PACKET, ifindex: veth.ifindex });
  assert.equal(inNamespace(stage.namespacePath(), there).verdict, NO_MAP);
  assert.throws(() => testRun(object, "ask", { packet: PACKET.subarray(0, 13) }), { errno: 22 });
  assert.throws(() => testRun(object, "nobody", { packet: PACKET }), /holds no program nobody/);
  const memory = await new MemoryKernel().load(probeRequest(stage, 1));
  assert.throws(() => testRun(memory, "ask", { packet: PACKET }), /only the kernel/);
});

test("packets through a device cost time, and are counted while they are watched", async () => {
  const pod = stage.addPod();
  const veth = stage.addVeth("veth2", pod, ["10.78.0.2/24"]);
  run("ip", "-n", stage.name, "addr", "add", "10.78.0.1/24", "dev", veth.name);
  await inNamespace(stage.namespacePath(), () => object.attachDevice(veth));
  const before_ = packets(COUNT.to + 1);
  const send = `for i in $(seq ${DATAGRAMS}); do echo x > /dev/udp/10.78.0.2/9; done`;
  const stats = await programStats(object, async () => run("ip", "netns", "exec", stage.name, "bash", "-c", send));
  assert.deepEqual(
    stats.map(({ name }) => name),
    ["from_probe", "to_probe", "report", "ask"],
  );
  const to = stats[1] ?? assert.fail();
  assert(to.runs >= DATAGRAMS && to.runs <= packets(COUNT.to + 1) - before_, `${to.runs} runs`);
  assert(to.nanoseconds > 0);
  assert.deepEqual([stats[3]?.runs, stats[3]?.nanoseconds], [0, 0]);
});
