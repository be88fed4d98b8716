/** What changed since it was last taken. */
import type { ChangeSet } from "./tables-view.ts";

export class Changes {
  services = new Set<string>();
  addresses = new Set<string>();
  identities = new Set<number>();
  namedPorts = new Set<number>();
  policies = new Set<string>();
  nodes = false;
  devices = false;
  sources = false;

  asChangeSet(revision: number): ChangeSet {
    const { services, addresses, identities, namedPorts, policies, nodes, devices, sources } = this;
    return { revision, services, addresses, identities, namedPorts, policies, nodes, devices, sources };
  }
}
