/** Judges values of the local etcd and writes them into the tables: the only writer of rows. */
import type { Cluster } from "../model/cluster.ts";
import type { Judged, Rejection } from "../model/resource.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";
import type { AgentTables } from "../tables/agent-tables.ts";
import { ipSuffix } from "../wire/ip.ts";
import { judgeLocalEndpoint } from "../wire/local-endpoint.ts";
import { judgeLocalService } from "../wire/local-service.ts";
import { judgePolicy } from "../wire/policy.ts";
import { judge } from "../wire/resources.ts";
import type { Subject } from "./keys.ts";

export type Row = Extract<Subject, { readonly what: "row" }>;

/** Refusals listed by name; more of them are only counted. */
const MAX_LISTED_REJECTIONS = 50;

export class Rows {
  readonly #tables: AgentTables;
  readonly #rejected: Counter;
  readonly #rejections = new Map<string, Rejection>();

  constructor(tables: AgentTables, metrics: Metrics) {
    this.#tables = tables;
    this.#rejected = metrics.counter("bulkhead_ingest_rejected_total", "Values refused.", ["kind", "reason"]);
  }

  /** A refused value leaves the last good one in place. */
  put(key: string, row: Row, cluster: Cluster, value: Uint8Array): void {
    const rejection = this.#accept(row, cluster, value);
    if (rejection === undefined) {
      this.#rejections.delete(key);
      return;
    }
    this.#tables.touch(row.cluster, row.kind, row.suffix);
    this.#rejected.add(1, { kind: row.kind, reason: rejection.reason });
    if (this.#rejections.size < MAX_LISTED_REJECTIONS) this.#rejections.set(key, rejection);
  }

  delete(key: string, row: Row): void {
    this.#rejections.delete(key);
    this.#tables.remove(row.cluster, row.kind, row.suffix);
  }

  /** A listing begins. */
  mark(): void {
    this.#rejections.clear();
    this.#tables.mark();
  }

  problems(): readonly string[] {
    return [...this.#rejections].map(([key, { detail }]) => `${key}: refused: ${detail}`);
  }

  #accept(row: Row, cluster: Cluster, value: Uint8Array): Rejection | undefined {
    const { kind, suffix } = row;
    const tables = this.#tables;
    switch (kind) {
      case "ip":
      case "local-ip":
        return take(judge("ip", cluster, suffix, value), (entry) =>
          tables.putIp(cluster, ipSuffix(entry), entry, kind),
        );
      case "identities":
      case "local-identities":
        return take(judge("identities", cluster, suffix, value), (id) => tables.putIdentity(cluster, id, kind));
      case "nodes":
        return take(judge("nodes", cluster, suffix, value), (node) => tables.putNode(cluster, node));
      case "policies":
        return take(judgePolicy(suffix, value), (policy) => tables.putPolicy(policy));
      case "endpoints":
        return take(judgeLocalEndpoint(suffix, value), (pod) => tables.putEndpoint(pod));
      case "services":
        return this.#acceptService(cluster, suffix, value);
    }
  }

  #acceptService(cluster: Cluster, suffix: string, value: Uint8Array): Rejection | undefined {
    if (cluster.name === this.#tables.own.name) {
      return take(judgeLocalService(suffix, value), (service) => this.#tables.putLocalService(service));
    }
    const judged = judge("services", cluster, suffix, value);
    return take(judged, (service) => this.#tables.putClusterService(cluster, service));
  }
}

function take<T>(judged: Judged<T>, use: (value: T) => void): Rejection | undefined {
  if (!judged.ok) return judged.rejection;
  use(judged.value);
  return undefined;
}
