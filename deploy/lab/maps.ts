/** What the kernel itself holds, read with bpftool from the pinned maps: not with Bulkhead's agent. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BACKEND_MAP, decodeBackendValue } from "../../src/maps/backend-map.ts";
import { decodeFlowKey, decodeFlowValue, FLOW_MAP, type FlowKey, type FlowValue } from "../../src/maps/flow-map.ts";
import { decodeIpcacheValue, encodeIpcacheKey, IPCACHE_MAP } from "../../src/maps/ipcache-map.ts";
import { formatAddress, parseAddress } from "../../src/model/address.ts";
import { command } from "./command.ts";
import type { NodePlan } from "./plan.ts";

type HexBytes = readonly string[];

interface Dumped {
  readonly key: HexBytes;
  readonly value: HexBytes;
}

/** The pin of a map: its name and the version of its layout. */
function pin(node: NodePlan, map: string): string {
  const file = readdirSync(node.bpfDirectory).find((name) => name.startsWith(`${map}_v`));
  if (file === undefined) throw new Error(`${node.bpfDirectory}: no map ${map} is pinned`);
  return join(node.bpfDirectory, file);
}

/** Those pins of a map that the program at this link of the node uses: one, however many versions are pinned. */
export async function pinsInUse(node: NodePlan, map: string, link: string): Promise<readonly string[]> {
  const ask = async (...words: readonly string[]) => JSON.parse(await command(["bpftool", "-j", ...words])) as unknown;
  const at = (file: string): readonly string[] => ["pinned", join(node.bpfDirectory, file)];
  const { prog_id: program } = (await ask("link", "show", ...at(link))) as { readonly prog_id: number };
  const { map_ids: used } = (await ask("prog", "show", "id", String(program))) as {
    readonly map_ids: readonly number[];
  };
  const pins = readdirSync(node.bpfDirectory).filter((name) => name.startsWith(`${map}_v`));
  const ids = await Promise.all(
    pins.map(async (name) => ((await ask("map", "show", ...at(name))) as { readonly id: number }).id),
  );
  return pins.filter((_, index) => used.includes(ids[index] ?? -1));
}

function bytes(hex: HexBytes): Uint8Array {
  return Uint8Array.from(hex, (byte) => Number.parseInt(byte, 16));
}

async function dump(node: NodePlan, map: string): Promise<readonly Dumped[]> {
  return JSON.parse(await command(["bpftool", "-j", "map", "dump", "pinned", pin(node, map)])) as readonly Dumped[];
}

/** What the node's kernel counted of packets from one address to another, by flow. */
export async function kernelFlows(
  node: NodePlan,
  source: string,
  destination: string,
): Promise<readonly (FlowKey & FlowValue)[]> {
  const flows = (await dump(node, FLOW_MAP.name)).map(({ key, value }) => ({
    ...decodeFlowKey(bytes(key)),
    ...decodeFlowValue(bytes(value)),
  }));
  return flows.filter(
    (flow) => formatAddress(flow.source) === source && formatAddress(flow.destination) === destination,
  );
}

/** Takes some backend out of the node's kernel, behind its agent's back. */
export async function removeBackend(node: NodePlan): Promise<void> {
  const [entry] = await dump(node, BACKEND_MAP.name);
  const key = (entry?.key ?? []).map((byte) => byte.replace("0x", ""));
  await command(["bpftool", "map", "delete", "pinned", pin(node, BACKEND_MAP.name), "key", "hex", ...key]);
}

/** `address:port` of every backend in the node's kernel. */
export async function kernelBackends(node: NodePlan): Promise<ReadonlySet<string>> {
  return new Set(
    (await dump(node, BACKEND_MAP.name)).map((entry) => {
      const { address, port } = decodeBackendValue(bytes(entry.value));
      return `${formatAddress(address)}:${port}`;
    }),
  );
}

/** The identity that the node's kernel knows for an address; undefined when it knows none. */
export async function kernelIdentity(node: NodePlan, address: string): Promise<number | undefined> {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new RangeError(`not an address: ${address}`);
  const key = Array.from(encodeIpcacheKey({ address: parsed }), (byte) => byte.toString(16).padStart(2, "0"));
  try {
    const found = await command([
      "bpftool",
      "-j",
      "map",
      "lookup",
      "pinned",
      pin(node, IPCACHE_MAP.name),
      "key",
      "hex",
      ...key,
    ]);
    return decodeIpcacheValue(bytes((JSON.parse(found) as { readonly value: HexBytes }).value)).identity;
  } catch {
    return undefined;
  }
}
