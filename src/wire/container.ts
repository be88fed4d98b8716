/** A Docker engine's list of containers: untrusted labels in, plain values out. One bad container disturbs no other. */
import type { Judged } from "../model/resource.ts";
import { Fields } from "./fields.ts";
import { parseJson, type Tree } from "./json.ts";
import type { TextMap } from "./manifest.ts";
import { judging, quote, Refusal } from "./refusal.ts";

export interface Container {
  /** The first 12 digits, as Docker prints it. */
  readonly id: string;
  /** Without the slash. */
  readonly name: string;
  /** Seconds since 1970. */
  readonly createdSeconds: number;
  readonly labels: TextMap;
  /** `running`, `paused`, `exited`, or another word of the engine's. */
  readonly state: string;
  /** As the engine writes them; none while it does not run. */
  readonly addresses: readonly string[];
  /** It runs and, if it has a health check, that passes. */
  readonly ready: boolean;
}

const SHORT_ID = 12;
/** States in which a container has a network. A paused one keeps its address and answers nobody. */
const CONNECTED: ReadonlySet<string> = new Set(["running", "paused"]);
/** How the status line ends while a health check does not pass. */
const NOT_HEALTHY = /\((unhealthy|health: starting)\)$/;
const MAX_CREATED = Number.MAX_SAFE_INTEGER;

/** Rejected as a whole when it is no list. A container that is refused is a problem line. */
export function judgeContainers(bytes: Uint8Array): Judged<readonly Judged<Container>[]> {
  return judging("containers", () => {
    const tree = parseJson(bytes);
    if (!isList(tree)) throw new Refusal("malformed", "is no list of containers");
    return tree.map((item, index) => judging(nameOf(item) ?? `[${index}]`, () => readContainer(new Fields(item))));
  });
}

function isList(tree: Tree): tree is readonly Tree[] {
  return Array.isArray(tree);
}

/** What a rejection calls a container. */
function nameOf(item: Tree): string | undefined {
  const id = item instanceof Map ? item.get("Id") : undefined;
  return typeof id === "string" && /^[0-9a-f]{12,}$/.test(id) ? id.slice(0, SHORT_ID) : undefined;
}

function readContainer(fields: Fields): Container {
  const id = fields.text("Id");
  if (!/^[0-9a-f]{12,64}$/.test(id)) throw fields.refusal("Id", `${quote(id)} is no id of a container`);
  const state = fields.text("State");
  return {
    id: id.slice(0, SHORT_ID),
    name: (fields.texts("Names")[0] ?? "").replace(/^\//, ""),
    createdSeconds: fields.whole("Created", MAX_CREATED),
    labels: fields.textMap("Labels"),
    state,
    addresses: CONNECTED.has(state) ? readAddresses(fields) : [],
    ready: state === "running" && !NOT_HEALTHY.test(fields.text("Status")),
  };
}

/** IPv4 of every network, then IPv6. */
function readAddresses(fields: Fields): readonly string[] {
  const networks = fields.fields("NetworkSettings").fields("Networks");
  const each = [...networks.names()].sort().map((name) => networks.fields(name));
  const listed = ["IPAddress", "GlobalIPv6Address"].flatMap((family) => each.map((network) => network.text(family)));
  return listed.filter((address) => address !== "");
}
