/** The part of P7 that runs inside the node's network namespace: rounds in turn, so that a busy moment hits all three alike. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TCP as TCP_FLAG, tcpPacket } from "../bpf/test/packets.ts";
import type { LoadedObject } from "../src/kernel/door.ts";
import { createLibbpfKernel } from "../src/kernel/libbpf.ts";
import { openNetwork } from "../src/kernel/network.ts";
import { programStats, testRun } from "../src/kernel/test-run.ts";
import {
  ENDPOINT_ADDRESS_MAP,
  ENDPOINT_MAP,
  encodeEndpointAddressKey,
  encodeEndpointAddressValue,
  encodeEndpointKey,
  encodeEndpointValue,
} from "../src/maps/endpoint-map.ts";
import { encodeIpcacheKey, encodeIpcacheValue, IPCACHE_MAP } from "../src/maps/ipcache-map.ts";
import { LAYOUT_VERSION } from "../src/maps/layout.ts";
import { ENDPOINT_OBJECT } from "../src/maps/objects.ts";
import {
  encodePolicyKey,
  encodePolicyValue,
  POLICY_FAMILY,
  POLICY_PREFIX,
  VERDICT_ALLOWED,
} from "../src/maps/policy-map.ts";
import { parseAddress } from "../src/model/address.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { inNetns, type Pod, run } from "./stage.ts";

const ROUNDS = 12;
const SECONDS = 1;
const PORT = 5201;
const TCP = 6;
const REPEATS = 1_000_000;
const NEW_CONNECTIONS = 5_000;
const IDENTITIES = { client: 65_792, server: 65_793 } as const;
const OBJECTS = fileURLToPath(new URL("../build/bpf", import.meta.url));
/** Below this a round says more about the machine than about what is measured. */
const LEAST_GIGABITS = 0.5;
const GOAL = 0.95;

const { client, server, pins } = JSON.parse(process.argv[2] ?? "{}") as { client: Pod; server: Pod; pins: string };
const pods = [
  { ...client, identity: IDENTITIES.client },
  { ...server, identity: IDENTITIES.server },
];

function bytesOf(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new RangeError(`not an address: ${address}`);
  return bytes;
}

async function write(object: LoadedObject, map: string, key: Uint8Array, value: Uint8Array): Promise<void> {
  const found = object.maps.get(map);
  if (found === undefined) throw new RangeError(`no map ${map}`);
  await found.update({ count: 1, keys: key, values: value });
}

/** The server takes the client's identity on the port and nothing else; the client may reach the server only. */
async function program(object: LoadedObject): Promise<void> {
  const rule = (identity: number): { keys: Uint8Array; values: Uint8Array; count: number } => ({
    count: 1,
    keys: encodePolicyKey({ prefixLength: POLICY_PREFIX.exact, identity, protocol: TCP, port: PORT }),
    values: encodePolicyValue({ rule: 1, verdict: VERDICT_ALLOWED }),
  });
  await object.families.get(POLICY_FAMILY.name)?.put([
    { slot: 1, entries: rule(IDENTITIES.client) },
    { slot: 2, entries: rule(IDENTITIES.server) },
  ]);
  const devices = openNetworkDevices();
  for (const { device, address, identity } of pods) {
    const ifindex = devices.get(device) ?? 0;
    const isServer = identity === IDENTITIES.server;
    const value = { identity, ingressPolicy: isServer ? 1 : 0, egressPolicy: isServer ? 0 : 2, flags: 0 };
    const bytes = bytesOf(address);
    await write(
      object,
      IPCACHE_MAP.name,
      encodeIpcacheKey({ address: bytes }),
      encodeIpcacheValue({ identity, clusterId: 1 }),
    );
    const owner = encodeEndpointAddressKey({ ifindex, address: bytes });
    await write(object, ENDPOINT_ADDRESS_MAP.name, owner, encodeEndpointAddressValue({ identity }));
    await write(object, ENDPOINT_MAP.name, encodeEndpointKey({ ifindex }), encodeEndpointValue(value));
  }
}

function openNetworkDevices(): ReadonlyMap<string, number> {
  const network = openNetwork();
  try {
    return new Map(network.read().devices.map(({ name, ifindex }) => [name, ifindex]));
  } finally {
    network.close();
  }
}

/** What runs around a round. */
interface Contender {
  readonly name: string;
  on(): Promise<void>;
  off(): Promise<void>;
}

function contenders(object: LoadedObject): readonly Contender[] {
  const devices = openNetworkDevices();
  const firewall = (verb: "-A" | "-D"): void => {
    const established = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"];
    const fresh = ["-p", "tcp", "-s", client.address, "-d", server.address, "--dport", String(PORT), "-j", "ACCEPT"];
    for (const rule of [established, fresh, ["-j", "DROP"]]) run("iptables", "-w", verb, "FORWARD", ...rule);
  };
  return [
    { name: "no program", on: async () => {}, off: async () => {} },
    {
      name: "bulkhead",
      on: async () => {
        for (const { device } of pods) await object.attachDevice({ name: device, ifindex: devices.get(device) ?? 0 });
      },
      off: async () => {
        await object.detachOthers(new Set());
      },
    },
    { name: "iptables", on: async () => firewall("-A"), off: async () => firewall("-D") },
  ];
}

/** Gigabits a second as the receiver counts them. */
function stream(): number {
  const argv = inNetns(client.netns, "iperf3", "-J", "-c", server.address, "-p", String(PORT), "-t", String(SECONDS));
  const [command, ...args] = argv;
  const said = JSON.parse(run(command, ...args)) as { end: { sum_received: { bits_per_second: number } } };
  return said.end.sum_received.bits_per_second / 1e9;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

async function measure(object: LoadedObject): Promise<void> {
  const all = contenders(object);
  const gigabits = new Map(all.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    // Each is first, second and third equally often.
    for (const { name, on, off } of all.map((_, index) => all[(index + round) % all.length] as Contender)) {
      await on();
      gigabits.get(name)?.push(stream());
      await off();
    }
  }
  const of = (name: string): number => median(gigabits.get(name) ?? []);
  for (const { name } of all) {
    const rounds = (gigabits.get(name) ?? []).map((value) => value.toFixed(1)).join(" ");
    process.stdout.write(`  ${name.padEnd(12)} ${of(name).toFixed(1)} Gbit/s (median of ${rounds})\n`);
  }
  const floor = of("no program");
  if (floor < LEAST_GIGABITS) process.stdout.write(`  invalid: ${floor} Gbit/s without a program is no load\n`);
  const ratio = againstFloor(gigabits, "bulkhead");
  const verdict = ratio >= GOAL ? "reached" : "missed";
  const iptables = againstFloor(gigabits, "iptables").toFixed(3);
  process.stdout.write(
    `P7 ratio ${ratio.toFixed(3)} of no program (goal ${GOAL}: ${verdict}); iptables + conntrack ${iptables} (medians of the rounds' ratios)\n`,
  );
}

/** Median of the ratios of the same round: what slows the machine for a while slows both. */
function againstFloor(gigabits: ReadonlyMap<string, readonly number[]>, name: string): number {
  const floors = gigabits.get("no program") ?? [];
  return median((gigabits.get(name) ?? []).map((value, round) => value / (floors[round] ?? value)));
}

async function costs(object: LoadedObject): Promise<void> {
  const [, ours] = contenders(object);
  await ours?.on();
  const stats = await programStats(object, async () => void stream());
  await ours?.off();
  for (const { name, runs, nanoseconds } of stats) {
    const each = runs === 0 ? 0 : nanoseconds / runs;
    process.stdout.write(
      `  ${name.padEnd(14)} ${each.toFixed(0)} ns a packet over ${runs} packets (bpf stats, stream on)\n`,
    );
  }
}

/** What single packets to the server cost, in the kernel's own test run. */
function testRuns(object: LoadedObject): void {
  const ifindex = openNetworkDevices().get(server.device) ?? 0;
  const ends = { source: client.address, destination: server.address, destinationPort: PORT };
  const once = (sourcePort: number, destinationPort: number, flags: number, repeat: number): number =>
    testRun(object, "to_endpoint", {
      ifindex,
      repeat,
      packet: tcpPacket({ ...ends, sourcePort, destinationPort, flags }),
    }).durationNs;
  const each = Array.from({ length: NEW_CONNECTIONS }, (_, index) => once(10_000 + index, PORT, TCP_FLAG.syn, 1));
  const figures = {
    established: once(10_000, PORT, TCP_FLAG.ack, REPEATS),
    "a new connection, cold": median(each),
    dropped: once(10_000, PORT + 1, TCP_FLAG.syn, REPEATS),
  };
  for (const [what, nanoseconds] of Object.entries(figures))
    process.stdout.write(`  ${what.padEnd(24)} ${nanoseconds.toFixed(0)} ns (test run)\n`);
}

const kernel = createLibbpfKernel({ clock: systemClock });
const object = await kernel.load({
  objectPath: join(OBJECTS, ENDPOINT_OBJECT.file),
  pinDirectory: pins,
  layoutVersion: LAYOUT_VERSION,
  layouts: ENDPOINT_OBJECT.maps,
  enums: ENDPOINT_OBJECT.enums,
  families: ENDPOINT_OBJECT.families ?? [],
  structs: ENDPOINT_OBJECT.structs ?? [],
  rings: ENDPOINT_OBJECT.rings ?? [],
  ...(ENDPOINT_OBJECT.devicePrograms && { devicePrograms: ENDPOINT_OBJECT.devicePrograms }),
});
await program(object);
const [command, ...args] = inNetns(server.netns, "iperf3", "-s", "-p", String(PORT));
const listener = spawn(command, args, { stdio: "ignore" });
try {
  await sleep(systemClock, 500);
  await measure(object);
  await costs(object);
  testRuns(object);
} finally {
  listener.kill("SIGKILL");
  object.close();
}
