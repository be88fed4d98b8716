/** The way to an endpoint: the addresses of its name, and a TCP connection to each. */

import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { connect, isIP } from "node:net";
import type { EtcdConfig } from "../wire/etcd-config.ts";
import { Fault, type Patience, type Steps, within } from "./steps.ts";

export interface Endpoint {
  /** As the file has it: `https://osaka.mesh:2379`. */
  readonly url: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

/** One address of an endpoint. */
export interface Door {
  readonly endpoint: Endpoint;
  readonly address: string;
  /** `10.0.0.1:2379`. */
  readonly label: string;
}

export function endpointOf(text: string): Endpoint {
  const url = new URL(text);
  const secure = url.protocol === "https:";
  // URL drops the port that a scheme has by default.
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  return { url: text, host: url.hostname.replace(/^\[|\]$/g, ""), port, secure };
}

const NO_NAME =
  "does the name exist, and does this machine ask the right DNS server? cilium-host-aliases can name addresses";

/** The doors of an endpoint; by the file's aliases, which come before DNS. None when its name has no address. */
export async function resolveDoors(
  endpoint: Endpoint,
  config: EtcdConfig,
  patience: Patience,
  steps: Steps,
): Promise<readonly Door[]> {
  const { host, port } = endpoint;
  const addresses = await addressesOf(host, config, patience, steps);
  return addresses.map((address) => {
    return { endpoint, address, label: address.includes(":") ? `[${address}]:${port}` : `${address}:${port}` };
  });
}

async function addressesOf(
  host: string,
  config: EtcdConfig,
  patience: Patience,
  steps: Steps,
): Promise<readonly string[]> {
  if (isIP(host)) return [host];
  const name = `name ${host}`;
  const alias = config.hostAliases.find(({ hostname }) => hostname === host);
  if (alias) {
    steps.ok(name, `${alias.ips.join(", ")} by cilium-host-aliases, DNS is not asked`);
    return alias.ips;
  }
  const ask = () => within(patience, NO_NAME, lookup(host, { all: true }));
  const found = await steps.run(name, NO_NAME, ask, (all) => all.map(({ address }) => address).join(", "));
  return found?.map(({ address }) => address) ?? [];
}

const SILENT = "does a firewall stand between, or is a route missing? Nothing comes back from there";
const REFUSED = "is etcd running there, and is the port right?";
const UNREACHABLE = "is there a route from this machine to that address?";

/** Undefined when no connection can be made. */
export function reachTcp(
  { address, endpoint, label }: Door,
  patience: Patience,
  steps: Steps,
): Promise<true | undefined> {
  const attempt = async (): Promise<true> => {
    const socket = connect({ host: address, port: endpoint.port });
    try {
      await within(patience, SILENT, once(socket, "connect"));
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ECONNREFUSED") {
        throw new Fault(error.message, REFUSED);
      }
      throw error;
    } finally {
      socket.destroy();
    }
  };
  return steps.run(`TCP ${label}`, UNREACHABLE, attempt, () => "connected");
}
