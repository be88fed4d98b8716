/** Mutants that do not judge what remotes say. The judge sees a value that it accepts, and what is written is the one that came. */
import type { KeyValue, KvClient, Operation, WatchEvent } from "../../../src/kv/client.ts";
import { STATE_PREFIX } from "../../../src/wire/keys.ts";
import { passing } from "../doors.ts";
import type { Warps } from "../processes.ts";
import { type Mutant, mutant, shownBy } from "./mutant.ts";

const IPS = `${STATE_PREFIX}ip/v1/default/`;

type Naive = (text: string, previous: string | undefined) => boolean;

/** Values that `believes` would let pass go through the judge disguised as the last one that was good. */
function unjudged(believes: Naive): Partial<Warps> {
  const mirror: Warps["mirror"] = () => {
    const good = new Map<string, string>();
    const disguised = new Map<string, Uint8Array>();
    let count = 0;
    const disguise = (kv: KeyValue): KeyValue => {
      if (!kv.key.startsWith(IPS)) return kv;
      const text = Buffer.from(kv.value).toString("utf8");
      const previous = good.get(kv.key);
      if (previous === undefined || !believes(text, previous)) {
        if (isPlain(text)) good.set(kv.key, text);
        return kv;
      }
      const mask = previous.replace(/"K8sPodName":"[^"]*"/, `"K8sPodName":"mask-${count++}"`);
      disguised.set(mask, kv.value);
      return { ...kv, value: Buffer.from(mask) };
    };
    const unmask = (operation: Operation): Operation => {
      if (!("put" in operation)) return operation;
      const value = disguised.get(Buffer.from(operation.put.value).toString("utf8"));
      return value ? { put: { ...operation.put, value } } : operation;
    };
    return {
      local: (client) => ({
        ...passing(client),
        txn: (request, options) => client.txn({ ...request, operations: request.operations.map(unmask) }, options),
      }),
      remote: (client) => disguising(client, disguise),
    };
  };
  return { mirror };
}

function disguising(client: KvClient, disguise: (kv: KeyValue) => KeyValue): KvClient {
  const bent = (event: WatchEvent): WatchEvent =>
    event.type === "put" ? { type: "put", kv: disguise(event.kv) } : event;
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      const listing = request.limit !== undefined && request.keysOnly !== true;
      return listing ? { ...answer, kvs: answer.kvs.map(disguise) } : answer;
    },
    watch: (request, sink) =>
      client.watch(request, {
        created: (header) => sink.created(header),
        events: (events, header) => sink.events(events.map(bent), header),
        progress: (header) => sink.progress(header),
        ended: (end) => sink.ended(end),
      }),
  };
}

function read(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** As an exporter writes it. */
function isPlain(text: string): boolean {
  const value = read(text);
  return typeof value?.["ID"] === "number" && JSON.stringify(value) === text && value["Mask"] === null;
}

function idOf(text: string): number {
  const id = read(text)?.["ID"];
  return typeof id === "number" ? id : 0;
}

export const HOSTILE_MUTANTS: readonly Mutant[] = [
  mutant(
    "identities of anybody",
    "I5",
    26,
    unjudged((text, previous) => idOf(text) >= 256 && idOf(text) !== idOf(previous ?? "")),
  ),
  mutant(
    "reserved identities for pods",
    "I5",
    3,
    unjudged((text) => idOf(text) > 0 && idOf(text) < 256),
  ),
  mutant(
    "names that differ in case, or come twice",
    "I5",
    3,
    unjudged((text) => read(text) !== undefined && JSON.stringify(read(text)) !== text),
  ),
  shownBy(
    "S04",
    mutant(
      "prefixes of any length",
      "I5",
      25,
      unjudged((text) => typeof read(text)?.["Mask"] === "string"),
    ),
  ),
  mutant(
    "malformed values are copied",
    "I5",
    13,
    unjudged((text) => read(text) === undefined),
  ),
];
