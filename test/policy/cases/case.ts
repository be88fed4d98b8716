/**
 * How cases are written. A scenario is policy documents and lines such as
 *
 *     demo/ledger <- osaka:demo/frontend TCP/5432 = dropped policy-denied
 *     demo/ledger -> world PING = allowed
 *     demo/ledger as 10.1.0.99 -> world UDP/53 = dropped spoofed-source
 *
 * `<-` is ingress at the endpoint on the left, `->` egress from it. A line whose names have addresses of both families is judged in both. `PING` is
 * an echo request of the family at hand. What stands behind `=` is a person's word: three ways of judging must agree with it.
 */
import assert from "node:assert/strict";
import type { Outcome } from "../reference/evaluate.ts";
import { isV6, type Tuple, type World } from "../reference/world.ts";
import { MESH, PLACES } from "./world.ts";

/** Where cases take place. */
export interface Mesh {
  readonly world: World;
  /** Names for addresses that are no pod's: v4, v6. */
  readonly places: Readonly<Record<string, readonly [v4: string, v6: string]>>;
}

const USUAL: Mesh = { world: MESH, places: PLACES };

export interface Scenario {
  readonly title: string;
  /** Absent: the mesh of `world.ts`. */
  readonly mesh?: Mesh;
  /** Documents, each with its own head; see `documents.ts`. */
  readonly policies: readonly string[];
  readonly settings?: Partial<Pick<World, "defaultLocalCluster" | "unknownEndpoints">>;
  readonly checks: string;
}

/** One line of a scenario in one address family. */
export interface Case {
  readonly line: string;
  readonly family: "v4" | "v6";
  readonly tuple: Tuple;
  readonly verdict: Outcome["verdict"];
  readonly reason: Outcome["reason"];
  /** `ingress[0]` of the only policy, or `policy path`; absent: not said. */
  readonly rule?: string;
}

const LINE = /^(\S+)(?: as (\S+))? (<-|->) (\S+) (\S+?)(?:\/(\d+))? = (\S+)(?: (?!by )(\S+))?(?: by (.+))?$/;
const PING = { v4: { protocol: "ICMP", port: 8 }, v6: { protocol: "ICMPv6", port: 128 } } as const;

/** The name's address in a family; a literal address has one family only. */
function addressOf({ world, places }: Mesh, name: string, family: "v4" | "v6"): string | undefined {
  const of = (addresses: readonly string[]) => addresses.find((address) => isV6(address) === (family === "v6"));
  if (name in places) return of(places[name] ?? []);
  if (name.includes("/")) {
    const [path = "", cluster = world.own] = name.split(":").reverse();
    const pod = world.pods.find((one) => one.cluster === cluster && `${one.namespace}/${one.name}` === path);
    assert(pod !== undefined, `${name} is a pod of the mesh`);
    return of(pod.addresses);
  }
  assert(/^[0-9a-f.:]+$/.test(name), `${name} is a name of the mesh or an address`);
  return of([name]);
}

function protocolOf(text: string, port: string | undefined, family: "v4" | "v6"): Pick<Tuple, "protocol" | "port"> {
  if (text === "PING") return PING[family];
  return { protocol: text as Tuple["protocol"], port: Number(port ?? 0) };
}

function casesOfLine(mesh: Mesh, line: string): readonly Case[] {
  const match = LINE.exec(line);
  assert(match !== null, `not a case: ${line}`);
  const [, endpoint = "", source, arrow, peerName = "", protocolText = "", port, verdict, reason, rule] = match;
  const cases: Case[] = [];
  for (const family of ["v4", "v6"] as const) {
    const address = addressOf(mesh, source ?? endpoint, family);
    const peer = addressOf(mesh, peerName, family);
    const { protocol, port: number } = protocolOf(protocolText, port, family);
    const otherFamily = protocol === (family === "v4" ? "ICMPv6" : "ICMP");
    if (address === undefined || peer === undefined || otherFamily) continue;
    const direction = arrow === "<-" ? "ingress" : "egress";
    cases.push({
      line,
      family,
      tuple: { direction, endpoint, address, peer, protocol, port: number },
      verdict: verdict as Outcome["verdict"],
      reason: (reason ?? "forwarded") as Outcome["reason"],
      ...(rule === undefined ? {} : { rule }),
    });
  }
  assert(cases.length > 0, `no address family fits: ${line}`);
  return cases;
}

export function casesOf({ checks, mesh = USUAL }: Scenario): readonly Case[] {
  const lines = checks.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#")).flatMap((line) => casesOfLine(mesh, line));
}

export function worldOf(scenario: Scenario): World {
  const policies = scenario.policies.map((text, index) => ({ file: `policy-${index}.yaml`, text }));
  return { ...(scenario.mesh ?? USUAL).world, ...scenario.settings, policies };
}
