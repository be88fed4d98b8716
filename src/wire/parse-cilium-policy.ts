/** `cilium.io/v2` CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy. */
import {
  type Direction,
  ENTITIES,
  type Peer,
  type PolicyRule,
  type PolicySpec,
  type Requirement,
} from "../model/policy.ts";
import type { Fields } from "./fields.ts";
import { NAMESPACE_LABEL_KEY } from "./identity.ts";
import { ruleOf } from "./parse-network-policy.ts";
import { readCidrBlock, readCidrPeer } from "./parse-policy-cidr.ts";
import { readCiliumPorts } from "./parse-policy-ports.ts";
import {
  inNamespace,
  mentionsCluster,
  mentionsNamespace,
  mentionsReserved,
  readCiliumSelector,
} from "./parse-selector.ts";
import { type FieldSet, refuseUnenforced, strict, strictObject, strictObjects } from "./policy-fields.ts";
import { quote, Refusal } from "./refusal.ts";

const LISTS = [
  { name: "ingress", direction: "ingress", verdict: "allow" },
  { name: "ingressDeny", direction: "ingress", verdict: "deny" },
  { name: "egress", direction: "egress", verdict: "allow" },
  { name: "egressDeny", direction: "egress", verdict: "deny" },
] as const;

const SPEC: FieldSet = {
  known: ["endpointSelector", ...LISTS.map(({ name }) => name), "enableDefaultDeny", "labels", "description"],
  unenforced: new Map([
    ["nodeSelector", "nodes are never selected; use endpointSelector"],
    ["log", "write the remark as description"],
  ]),
};
const DEFAULT_DENY: FieldSet = { known: ["ingress", "egress"] };
const AUTHENTICATION: FieldSet = { known: ["mode"] };
const LABEL: FieldSet = { known: ["key", "value", "source"] };

/** Fields of a rule: `from` or `to` before the kind of peer. */
function ruleFields(prefix: "from" | "to", deny: boolean): FieldSet {
  const peers = ["Endpoints", "Entities", "CIDR", "CIDRSet"].map((name) => prefix + name);
  const advice: readonly (readonly [string, string])[] = [
    [`${prefix}Requires`, `write its requirements into the selectors of ${prefix}Endpoints`],
    [`${prefix}Groups`, `write the addresses as ${prefix}CIDRSet`],
    [`${prefix}Nodes`, `use ${prefix}Entities with host and remote-node`],
    ["toServices", "select the pods behind the service with toEndpoints"],
    ["toFQDNs", "write the addresses as toCIDRSet"],
  ];
  const known = [...peers, "toPorts", "icmps", ...(deny ? [] : ["authentication"])];
  return { known, unenforced: new Map(prefix === "to" ? advice : advice.slice(0, 3)) };
}

/** @param namespace "" for a clusterwide policy. */
export function readCiliumPolicySpecs(root: Fields, namespace: string): readonly PolicySpec[] {
  const specs = root.objects("specs").map((spec, index) => readSpec(spec, namespace, `specs[${index}].`));
  if (root.has("spec")) return [readSpec(root.fields("spec"), namespace, ""), ...specs];
  if (specs.length === 0) throw root.refusal("spec", "is missing; write spec, or specs with at least one");
  return specs;
}

function readSpec(spec: Fields, namespace: string, prefix: string): PolicySpec {
  strict(spec, SPEC);
  checkRemarks(spec);
  const requirements = readSubject(spec, namespace);
  const rules = LISTS.flatMap((list) => readRules(spec, list, namespace, prefix));
  const defaultDeny = readDefaultDeny(spec);
  if (rules.length > 0 || defaultDeny.ingress || defaultDeny.egress) {
    return { subject: { requirements }, defaultDeny, rules };
  }
  throw spec.refusal(
    "ingress",
    "and egress hold no rule, so that nothing is said; write ingress: [{}] to admit nobody",
  );
}

/** What is said for people: read, so that it is well formed, and not used. */
function checkRemarks(spec: Fields): void {
  spec.text("description");
  for (const label of strictObjects(spec, "labels", LABEL)) for (const name of LABEL.known) label.text(name);
}

function readSubject(spec: Fields, namespace: string): readonly Requirement[] {
  const name = "endpointSelector";
  if (!spec.has(name)) throw spec.refusal(name, "is missing; write one, {} for every endpoint");
  const requirements = readCiliumSelector(spec.fields(name));
  if (mentionsReserved(requirements)) throw refuseUnenforced(spec, name, "select workloads: hosts and nodes never are");
  if (namespace === "") return requirements;
  const elsewhere = requirements.find(
    ({ key, operator, values }) => key === NAMESPACE_LABEL_KEY && operator === "In" && !values.includes(namespace),
  );
  if (!elsewhere) return [inNamespace(namespace), ...requirements];
  const mend = "remove that label, or use a CiliumClusterwideNetworkPolicy";
  throw spec.refusal(name, `asks for another namespace than the policy's own ${quote(namespace)}; ${mend}`);
}

function readDefaultDeny(spec: Fields): PolicySpec["defaultDeny"] {
  const given = strictObject(spec, "enableDefaultDeny", DEFAULT_DENY);
  const of = (direction: Direction): boolean => {
    if (given.has(direction)) return given.flag(direction);
    return LISTS.some((list) => list.direction === direction && spec.list(list.name).length > 0);
  };
  return { ingress: of("ingress"), egress: of("egress") };
}

type List = (typeof LISTS)[number];

function readRules(
  spec: Fields,
  { name, direction, verdict }: List,
  namespace: string,
  prefix: string,
): readonly PolicyRule[] {
  const side = direction === "ingress" ? "from" : "to";
  return strictObjects(spec, name, ruleFields(side, verdict === "deny")).map((rule, index) => {
    checkAuthentication(rule);
    const place = { direction, verdict, path: `${prefix}${name}[${index}]` };
    const peers = readPeers(rule, side, namespace);
    const ports = readCiliumPorts(rule);
    // A rule that names neither peers nor ports is empty: nobody. Ports alone are for anybody.
    const isEmpty = !peers && !rule.has("toPorts") && !rule.has("icmps");
    return ruleOf(place, isEmpty ? [] : peers, ports);
  });
}

function checkAuthentication(rule: Fields): void {
  if (!rule.has("authentication")) return;
  const mode = strictObject(rule, "authentication", AUTHENTICATION).text("mode");
  if (mode !== "disabled") throw refuseUnenforced(rule, "authentication", "remove it, or set its mode to disabled");
}

/** Union of what the rule names; undefined when it names no peers at all. */
function readPeers(rule: Fields, side: "from" | "to", namespace: string): readonly Peer[] | undefined {
  const [endpoints, entities, cidrs, cidrSets] = [
    `${side}Endpoints`,
    `${side}Entities`,
    `${side}CIDR`,
    `${side}CIDRSet`,
  ];
  if (![endpoints, entities, cidrs, cidrSets].some((name) => rule.has(name))) return undefined;
  return [
    ...rule.objects(endpoints).map((selector) => readEndpoints(selector, namespace)),
    ...rule.texts(entities).map((text, index) => readEntity(text, [...rule.path, entities, index])),
    ...rule.texts(cidrs).map((text, index) => readCidrPeer(text, [...rule.path, cidrs, index])),
    ...rule.objects(cidrSets).map(readCidrBlock),
  ];
}

function readEndpoints(selector: Fields, namespace: string): Peer {
  const given = readCiliumSelector(selector);
  const isReserved = mentionsReserved(given);
  const implied = namespace === "" || isReserved || mentionsNamespace(given) ? [] : [inNamespace(namespace)];
  const requirements = [...implied, ...given];
  return { kind: "endpoints", selector: { requirements }, mentionsCluster: isReserved || mentionsCluster(given) };
}

function readEntity(text: string, path: readonly (string | number)[]): Peer {
  const entity = ENTITIES.find((known) => known === text);
  if (entity) return { kind: "entity", entity };
  if (text === "kube-apiserver") {
    throw new Refusal("unsupported", '"kube-apiserver" has no known addresses here; write them as CIDR', path);
  }
  throw new Refusal("malformed", `${quote(text)} is no entity; use one of ${ENTITIES.join(", ")}`, path);
}
