/** Answers `bulkhead policy explain`: what this node's endpoints do with a packet, by what was compiled and by what the kernel holds. */
import { frontends } from "../../lb/select.ts";
import { canonicalAddress, parseAddress } from "../../model/address.ts";
import type { EndpointStatus } from "../../model/endpoint.ts";
import type {
  ExplainAnswer,
  ExplainEnd,
  ExplainedDecision,
  ExplainedDirection,
  ExplainedPeer,
  ExplainPort,
  ExplainQuestion,
} from "../../model/explain.ts";
import type { Direction } from "../../model/policy.ts";
import type { LocalService } from "../../model/resource.ts";
import type { Decision } from "../../policy/decide.ts";
import type { PolicyCompiler } from "../../policy/policy-compiler.ts";
import { messageOf } from "../../runtime/user-error.ts";
import type { TablesView } from "../../tables/tables-view.ts";
import { endpointOf, identityOf, type JudgedMaps, judge, type Packet } from "./judgement.ts";
import type { AgentNames } from "./names.ts";

const PROTOCOL_NUMBERS: Readonly<Record<ExplainPort["protocol"], number>> = {
  TCP: 6,
  UDP: 17,
  SCTP: 132,
  ICMP: 1,
  ICMPv6: 58,
};

export interface ExplainOptions {
  readonly cluster: string;
  readonly node: string;
  readonly view: TablesView;
  readonly policy: PolicyCompiler;
  readonly names: AgentNames;
  readonly compiled: JudgedMaps;
  readonly kernel: JudgedMaps;
}

export class Explainer {
  readonly #options: ExplainOptions;

  constructor(options: ExplainOptions) {
    this.#options = options;
  }

  async explain({ from, to, port }: ExplainQuestion): Promise<ExplainAnswer> {
    const { cluster, node } = this.#options;
    const [source, destination] = [this.#peer(from), this.#peer(to)];
    const directions = [
      await this.#direction("egress", source, destination, port),
      await this.#direction("ingress", destination, source, port),
    ].filter((direction) => direction !== undefined);
    const service = this.#serviceOf(to);
    const answer = { cluster, node, ...(source && { from: source }), ...(destination && { to: destination }) };
    const isSender = directions.some(({ direction }) => direction === "egress");
    return service !== undefined && isSender ? { ...answer, service, directions: [] } : { ...answer, directions };
  }

  #serviceOf(end: ExplainEnd): string | undefined {
    if (end.kind !== "address") return undefined;
    const { view } = this.#options;
    return [...view.localServices()].find((name) => isFrontend(view.localService(name), end.address));
  }

  #peer(end: ExplainEnd): ExplainedPeer | undefined {
    if (end.kind === "address") return this.#described([end.address]);
    const addresses = this.#addressesOf(end.cluster, end.namespace, end.name);
    return addresses.length === 0 ? undefined : this.#described(addresses);
  }

  #addressesOf(cluster: string, namespace: string, name: string): readonly string[] {
    const { view } = this.#options;
    const isThePod = (address: string): boolean =>
      view.ipClaims(address).some((claim) => {
        if (claim.podName !== name || claim.namespace !== namespace) return false;
        return view.clusterName(claim.clusterId) === cluster;
      });
    return [...view.addresses()]
      .filter((address) => isThePod(address) && canonicalAddress(address) !== undefined)
      .sort();
  }

  #described(addresses: readonly string[]): ExplainedPeer {
    const { names, compiled } = this.#options;
    const [first = ""] = addresses;
    const identity = identityOf(compiled, parseAddress(first) as Uint8Array);
    const { cluster, pod } = names.owner(first) ?? { cluster: "", pod: "" };
    return { addresses, identity, labels: names.labels(identity), cluster, pod };
  }

  /** Absent unless `end` lives on this node, or when the other end is not known. */
  async #direction(
    direction: Direction,
    end: ExplainedPeer | undefined,
    peer: ExplainedPeer | undefined,
    { protocol, port }: ExplainPort,
  ): Promise<ExplainedDirection | undefined> {
    const endpoint = end && this.#endpointOf(end);
    if (endpoint === undefined || peer === undefined) return undefined;
    const { policy, compiled } = this.#options;
    const packet = { peer: addressFor(endpoint, peer), protocol: PROTOCOL_NUMBERS[protocol], port };
    const { identity } = peer;
    const value = endpointOf(compiled, endpoint.ifindex);
    const slot = (direction === "ingress" ? value?.ingressPolicy : value?.egressPolicy) ?? 0;
    const matching = policy.matchingRules(slot, { identity, protocol: packet.protocol, port });
    return {
      direction,
      endpoint: endpoint.pod ?? endpoint.device,
      device: endpoint.device,
      enforcement: endpoint[direction],
      peer,
      compiled: this.#named(await judge(compiled, endpoint.ifindex, direction, packet)),
      ...(await this.#inKernel(endpoint, direction, packet)),
      matching: matching.map(({ name, verdict }) => ({ verdict, rule: name })),
    };
  }

  async #inKernel({ ifindex }: EndpointStatus, direction: Direction, packet: Packet) {
    try {
      return { kernel: this.#named(await judge(this.#options.kernel, ifindex, direction, packet)) };
    } catch (error) {
      return { kernelFault: messageOf(error) };
    }
  }

  #endpointOf({ addresses }: ExplainedPeer): EndpointStatus | undefined {
    const endpoints = this.#options.policy.endpointStatus();
    return endpoints.find((endpoint) => endpoint.addresses.some((address) => addresses.includes(address)));
  }

  #named({ verdict, reason, rule }: Decision): ExplainedDecision {
    if (rule === 0) return { verdict, reason };
    return { verdict, reason, rule: this.#options.names.rule(rule) ?? `rule ${rule}, whose policy is not known now` };
  }
}

/** The peer's address of a family that the endpoint has: only such packets can be. */
function addressFor({ addresses }: EndpointStatus, peer: ExplainedPeer): Uint8Array {
  const isV6 = (address: string): boolean => address.includes(":");
  const reachable = peer.addresses.find((address) => addresses.some((own) => isV6(own) === isV6(address)));
  return parseAddress(reachable ?? peer.addresses[0] ?? "") as Uint8Array;
}

function isFrontend(service: LocalService | undefined, address: string): boolean {
  return service !== undefined && frontends(service).some((frontend) => frontend.address === address);
}
