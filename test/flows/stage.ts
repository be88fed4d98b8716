/** A ring that tests fill, and names for what is in it. */
import type { Names } from "../../src/flows/names.ts";
import type { EventRing } from "../../src/kernel/door.ts";
import { encodeFlowEvent, FLOW_EVENT, type FlowEvent } from "../../src/maps/flow-map.ts";
import { parseAddress } from "../../src/model/address.ts";

export function bytesOf(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new Error(`${text} is no address`);
  return bytes;
}

/** A scraper of amsterdam is refused by the ledger of osaka, at the ledger. */
export function refused(change: Partial<FlowEvent> = {}): FlowEvent {
  return {
    timeNs: 1_500_000_000n,
    flow: {
      source: bytesOf("10.1.1.12"),
      destination: bytesOf("10.2.1.10"),
      sourcePort: 41_234,
      destinationPort: 8080,
      ifindex: 7,
      protocol: 6,
      direction: 0,
    },
    sourceIdentity: 65_540,
    destinationIdentity: 131_073,
    rule: 0,
    bytes: 74,
    verdict: 2,
    reason: 1,
    kind: 1,
    ...change,
  };
}

export class FakeRing implements EventRing {
  readonly name = "events";
  readonly recordBytes = FLOW_EVENT.sizeBytes;
  readonly capacityBytes = 1024 * 1024;
  readonly #records: Uint8Array[] = [];

  put(...events: readonly FlowEvent[]): void {
    this.#records.push(...events.map(encodeFlowEvent));
  }

  drain(limit: number, take: (bytes: Uint8Array) => void): number {
    const records = this.#records.splice(0, limit);
    for (const bytes of records) {
      take(bytes);
      // Valid during the call only.
      bytes.fill(0xff);
    }
    return records.length;
  }
}

export const names: Names = {
  labels: (identity) =>
    ({
      2: ["reserved:world"],
      65540: ["k8s:app=scraper", "k8s:io.cilium.k8s.policy.cluster=amsterdam"],
      131073: ["k8s:app=ledger", "k8s:io.cilium.k8s.policy.cluster=osaka"],
    })[identity] ?? [],
  owner: (address) =>
    ({
      "10.1.1.12": { cluster: "amsterdam", pod: "demo/scraper" },
      "10.2.1.10": { cluster: "osaka", pod: "demo/ledger" },
    })[address],
  endpoint: (ifindex) => (ifindex === 7 ? "demo/ledger" : undefined),
  rule: (rule) => (rule === 99 ? "CiliumNetworkPolicy/demo/ledger ingress[0] (ledger.yaml:3)" : undefined),
};
