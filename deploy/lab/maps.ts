/** What the kernel itself holds, read with bpftool from the pinned maps: not with Bulkhead's agent. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BACKEND_MAP, decodeBackendValue } from "../../src/maps/backend-map.ts";
import { decodeIpcacheValue, encodeIpcacheKey, IPCACHE_MAP } from "../../src/maps/ipcache-map.ts";
import { formatAddress, parseAddress } from "../../src/model/address.ts";
import { command } from "./command.ts";
import type { NodePlan } from "./plan.ts";

type HexBytes = readonly string[];

/** The pin of a map: its name and the version of its layout. */
function pin(node: NodePlan, map: string): string {
  const file = readdirSync(node.bpfDirectory).find((name) => name.startsWith(`${map}_v`));
  if (file === undefined) throw new Error(`${node.bpfDirectory}: no map ${map} is pinned`);
  return join(node.bpfDirectory, file);
}

function bytes(hex: HexBytes): Uint8Array {
  return Uint8Array.from(hex, (byte) => Number.parseInt(byte, 16));
}

/** `address:port` of every backend in the node's kernel. */
export async function kernelBackends(node: NodePlan): Promise<ReadonlySet<string>> {
  const dump = await command(["bpftool", "-j", "map", "dump", "pinned", pin(node, BACKEND_MAP.name)]);
  const entries = JSON.parse(dump) as readonly { readonly value: HexBytes }[];
  return new Set(
    entries.map((entry) => {
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
