// The third way: the very entries in the kernel's maps, and the packet itself through the programs. The verdict is the event's; the program must obey it.
import assert from "node:assert/strict";
import {
  type Ends,
  echoRequest,
  icmpPacket,
  ipPacket,
  type Ports,
  sctpPacket,
  tcpPacket,
  udpPacket,
} from "../../../bpf/test/packets.ts";
import { IFINDEX, Scene } from "../../../bpf/test/scene.ts";
import type { Stage } from "../../../bpf/test/stage.ts";
import type { MapEntries } from "../../../src/kernel/door.ts";
import {
  decodeEndpointAddressKey,
  decodeEndpointKey,
  encodeEndpointAddressKey,
  encodeEndpointKey,
} from "../../../src/maps/endpoint-map.ts";
import { type DesiredMap, keyBytes } from "../../../src/tables/desired-map.ts";
import type { Tuple, World } from "../reference/world.ts";
import { type Answer, CompiledNode } from "./compiled.ts";

const FIRST_SOURCE_PORT = 33_000;
const LAST_SOURCE_PORT = 60_000;
const GRE = 47;
const ECHO_REQUESTS = [8, 128];

type Pair = readonly [key: Uint8Array, value: Uint8Array];

function entriesOf(pairs: readonly Pair[]): MapEntries {
  const side = (index: 0 | 1) => Buffer.concat(pairs.map((pair) => pair[index]));
  return { count: pairs.length, keys: side(0), values: side(1) };
}

function pairsOf(map: DesiredMap): Pair[] {
  return [...map.entries()].map(([key, value]) => [keyBytes(key), value]);
}

/** @param source port, or the echo's id. */
function packetOf(tuple: Tuple, source: number): Buffer {
  const ingress = tuple.direction === "ingress";
  const ends: Ends = {
    source: ingress ? tuple.peer : tuple.address,
    destination: ingress ? tuple.address : tuple.peer,
  };
  const ports: Ports = { ...ends, sourcePort: source, destinationPort: tuple.port };
  switch (tuple.protocol) {
    case "TCP":
      return tcpPacket(ports);
    case "UDP":
      return udpPacket(ports);
    case "SCTP":
      return sctpPacket(ports);
    case "GRE":
      return ipPacket(ends, GRE, Buffer.alloc(8));
    case "ICMP":
    case "ICMPv6":
      return ECHO_REQUESTS.includes(tuple.port)
        ? echoRequest({ ...ends, id: source })
        : icmpPacket(ends, tuple.port, Buffer.from([source >> 8, source & 0xff, 0, 1]));
  }
}

/** The programs, and one endpoint at a time on the loopback device. */
export class KernelNode {
  readonly #scene: Scene;
  #node: CompiledNode | undefined;
  /** Whose entries are on the loopback device. */
  #endpoint = "";
  #source = FIRST_SOURCE_PORT;

  private constructor(scene: Scene) {
    this.#scene = scene;
  }

  static async open(stage: Stage): Promise<KernelNode> {
    return new KernelNode(await Scene.open(stage));
  }

  /** Everything that the world compiles to, in place of what was there. */
  async program(world: World): Promise<CompiledNode> {
    const node = new CompiledNode(world);
    const { policies, ipcache, cidrs } = node.compiled;
    const family = this.#scene.object.families.get("policies");
    assert(family !== undefined);
    const members = [...policies].map(([slot, entries]) => ({ slot, entries: entriesOf(pairsOf(entries)) }));
    const stale = [...(await family.read()).keys()].filter((slot) => !policies.has(slot));
    if (members.length > 0) await family.put(members);
    if (stale.length > 0) await family.remove(stale);
    await this.#fill("ipcache", pairsOf(ipcache));
    await this.#fill("ipcache_cidrs", pairsOf(cidrs));
    await this.#forget();
    this.#node = node;
    this.#endpoint = "";
    return node;
  }

  async judge(tuple: Tuple): Promise<Answer> {
    if (tuple.endpoint !== this.#endpoint) await this.#place(tuple.endpoint);
    // Flows without ports look alike: each is to be a new one.
    if (!["TCP", "UDP", "SCTP"].includes(tuple.protocol)) await this.#forget();
    const program = tuple.direction === "ingress" ? "to_endpoint" : "from_endpoint";
    const { dropped, events } = this.#scene.run(program, packetOf(tuple, this.#nextSource()));
    assert.equal(events.length, 1, `one event of ${JSON.stringify(tuple)}`);
    const { verdict, reason, rule, kind, flow } = events[0] as (typeof events)[number];
    assert.equal(dropped, verdict === "dropped", "the program does what its event says");
    assert.equal(kind, dropped ? "dropped" : "new");
    assert(flow.endsWith(` ${tuple.direction}`), flow);
    return { verdict, reason, rule } as Answer;
  }

  #nextSource(): number {
    this.#source = this.#source === LAST_SOURCE_PORT ? FIRST_SOURCE_PORT : this.#source + 1;
    return this.#source;
  }

  /** Connections and flows of packets before. */
  async #forget(): Promise<void> {
    await this.#fill("conntrack", []);
    await this.#fill("flows", []);
  }

  async #fill(name: string, pairs: readonly Pair[]): Promise<void> {
    const map = this.#scene.map(name);
    const { keys, count } = await map.dump();
    if (count > 0) await map.remove(keys, count);
    if (pairs.length > 0) await map.update(entriesOf(pairs));
  }

  /** The endpoint's entries, with the loopback device for its own. */
  async #place(endpoint: string): Promise<void> {
    assert(this.#node !== undefined, "a world was programmed");
    const ifindex = this.#node.ifindexOf(endpoint);
    const { endpoints, addresses } = this.#node.compiled;
    const mine = pairsOf(endpoints).filter(([key]) => decodeEndpointKey(key).ifindex === ifindex);
    await this.#fill(
      "endpoints",
      mine.map(([, value]) => [encodeEndpointKey({ ifindex: IFINDEX }), value]),
    );
    const own = pairsOf(addresses).map(([key, value]) => ({ ...decodeEndpointAddressKey(key), value }));
    await this.#fill(
      "endpoint_addresses",
      own
        .filter((entry) => entry.ifindex === ifindex)
        .map(({ address, value }) => [encodeEndpointAddressKey({ ifindex: IFINDEX, address }), value]),
    );
    this.#endpoint = endpoint;
  }
}
