/**
 * Which service has which addresses, as the cluster's own etcd says. Silence takes no name away: nor does an etcd that lacks the canary of
 * services, for it may be one that was lost.
 */
import { type KeyRange, type PagedListing, prefixRange, wholeListing } from "../../../src/follow/list.ts";
import type { SourceSink } from "../../../src/follow/source.ts";
import type { WatchEvent } from "../../../src/kv/client.ts";
import { LOCAL_SERVICES_PREFIX, localServicesCanary } from "../../../src/wire/keys.ts";
import { judgeLocalService } from "../../../src/wire/local-service.ts";
import { CODES, readQuestion, writeAnswer, writeCode } from "./dns-message.ts";

const TTL_SECONDS = 5;

export class ServiceNames implements SourceSink {
  readonly ranges: readonly KeyRange[];
  /** `namespace/name` -> addresses. */
  readonly #addresses = new Map<string, readonly string[]>();
  #complete = false;

  constructor(cluster: string) {
    this.ranges = [prefixRange(LOCAL_SERVICES_PREFIX), { key: localServicesCanary(cluster) }];
  }

  async listed(listing: PagedListing): Promise<void> {
    const [services = [], canary = []] = (await wholeListing(listing)).ranges;
    this.#complete ||= canary.length > 0;
    if (canary.length > 0) {
      const present = new Set(services.map(({ key }) => key.slice(LOCAL_SERVICES_PREFIX.length)));
      for (const name of this.#addresses.keys()) if (!present.has(name)) this.#addresses.delete(name);
    }
    for (const { key, value } of services) this.#put(key, value);
  }

  changed(rangeIndex: number, events: readonly WatchEvent[]): void {
    for (const event of events) {
      if (rangeIndex === 1) this.#complete ||= event.type === "put";
      else if (event.type === "put") this.#put(event.kv.key, event.kv.value);
      else this.#addresses.delete(event.key.slice(LOCAL_SERVICES_PREFIX.length));
    }
  }

  progress(): void {}

  lost(): void {}

  /** A value that cannot be read leaves the last good one. */
  #put(key: string, value: Uint8Array): void {
    const name = key.slice(LOCAL_SERVICES_PREFIX.length);
    const judged = judgeLocalService(name, value);
    if (judged.ok) this.#addresses.set(name, [...judged.value.frontends.keys()]);
  }

  /** The answer to a datagram: to `service.namespace`, or with `svc` and any domain after it; undefined: none. */
  answer(message: Uint8Array): Uint8Array | undefined {
    const question = readQuestion(message);
    if (question === undefined) return undefined;
    if ("code" in question) return writeCode(question.id, question.code);
    const [service = "", namespace = "", kind = "svc"] = question.name.split(".");
    const addresses = kind === "svc" ? this.#addresses.get(`${namespace}/${service}`) : undefined;
    const code = addresses !== undefined ? CODES.ok : this.#complete ? CODES.noName : CODES.failure;
    return writeAnswer(question, code, addresses ?? [], TTL_SECONDS);
  }
}
