/** Policies as people write them: what is read, and what is refused and why. */
import assert from "node:assert/strict";
import type { Policy, PolicyRule, PolicySpec } from "../../src/model/policy.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";

const VERSIONS = {
  NetworkPolicy: "networking.k8s.io/v1",
  CiliumNetworkPolicy: "cilium.io/v2",
  CiliumClusterwideNetworkPolicy: "cilium.io/v2",
} as const;

/** A document whose `spec` is given as YAML in flow style, without the outer braces. */
function documentText(kind: keyof typeof VERSIONS, metadata: string, spec: string): string {
  return `apiVersion: ${VERSIONS[kind]}\nkind: ${kind}\nmetadata: {${metadata}}\nspec: {${spec}}\n`;
}

export function networkPolicyText(spec: string, metadata = "name: guard, namespace: shop"): string {
  return documentText("NetworkPolicy", metadata, spec);
}

export function ciliumPolicyText(spec: string, metadata = "name: guard, namespace: shop"): string {
  return documentText("CiliumNetworkPolicy", metadata, spec);
}

export function clusterwidePolicyText(spec: string, metadata = "name: guard"): string {
  return documentText("CiliumClusterwideNetworkPolicy", metadata, spec);
}

/** The one policy of a text that has no problems. */
export function policyOf(text: string, file = "guard.yaml"): Policy {
  const { objects, problems } = parseManifests(file, text);
  assert.deepEqual(problems, []);
  const [object] = objects;
  assert(object?.kind === "Policy" && objects.length === 1);
  return object.policy;
}

export function specOf(text: string): PolicySpec {
  const [spec] = policyOf(text).specs;
  assert(spec);
  return spec;
}

export function ruleOf(text: string): PolicyRule {
  const [rule] = specOf(text).rules;
  assert(rule);
  return rule;
}

/** Documents that together use everything that is enforced. */
export const examplePolicies: Readonly<Record<string, string>> = {
  "deny all": networkPolicyText("podSelector: {}, policyTypes: [Ingress, Egress]"),
  "pods, namespaces and addresses": networkPolicyText(
    `podSelector: {matchLabels: {app: cart}},
  ingress: [
    {from: [
      {podSelector: {matchExpressions: [{key: tier, operator: In, values: [front, edge]}]}},
      {namespaceSelector: {matchLabels: {team: fin}}, podSelector: {matchLabels: {app: till}}},
      {ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.7/32]}}],
     ports: [{port: 8080}, {port: 9000, endPort: 9100, protocol: UDP}, {port: metrics}]}],
  egress: [{to: [{namespaceSelector: {}}], ports: [{protocol: UDP, port: 53}]}]`,
  ),
  "another cluster by label": ciliumPolicyText(
    `endpointSelector: {matchLabels: {app: ledger}},
  ingress: [{
    fromEndpoints: [{matchLabels: {app: till, "k8s:io.cilium.k8s.policy.cluster": amsterdam, "k8s:io.kubernetes.pod.namespace": front}}],
    toPorts: [{ports: [{port: "8443", protocol: TCP}, {port: "web"}]}]}]`,
  ),
  "deny before allow": ciliumPolicyText(
    `endpointSelector: {},
  ingressDeny: [{fromCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.128/25]}]}],
  egress: [{toEntities: [world]}, {icmps: [{fields: [{type: EchoRequest}, {type: 128, family: IPv6}]}]}],
  egressDeny: [{toCIDR: ["2001:DB8:dead::/48"], toPorts: [{ports: [{port: "25", protocol: TCP}]}]}]`,
  ),
  clusterwide: clusterwidePolicyText(
    `endpointSelector: {matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: NotIn, values: [kube-system]}]},
  ingress: [{fromEntities: [cluster]}, {fromEndpoints: [{matchLabels: {"reserved:remote-node": ""}}]}],
  enableDefaultDeny: {egress: false},
  egress: [{toEndpoints: [{}]}]`,
  ),
  "several specs": `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: pair, namespace: shop, annotations: {policy.bulkhead.io/audit: "true"}}
specs:
- {endpointSelector: {matchLabels: {app: cart}}, description: first, ingress: [{}]}
- {endpointSelector: {matchLabels: {app: till}}, labels: [{key: a, value: b}], egress: [{toPorts: [{ports: [{port: "443"}]}]}]}
`,
};

const RULE = "endpointSelector: {}, ingress: [{";
const cilium = (rule: string): string => ciliumPolicyText(`${RULE}${rule}}]`);
const ciliumEgress = (rule: string): string => ciliumPolicyText(`endpointSelector: {}, egress: [{${rule}}]`);
const peer = (text: string): string => networkPolicyText(`podSelector: {}, ingress: [{from: [${text}]}]`);
const port = (text: string): string => networkPolicyText(`podSelector: {}, ingress: [{ports: [${text}]}]`);
const ciliumPort = (text: string): string => cilium(`toPorts: [{ports: [${text}]}]`);
const selector = (text: string): string => cilium(`fromEndpoints: [${text}]`);
const UNENFORCED = /is not enforced, so that the policy is refused as a whole; /;

/** What, document, what the one problem line says. */
export const refusedPolicies: readonly (readonly [what: string, text: string, line: RegExp])[] = [
  ["L7 rules", cilium('toPorts: [{ports: [{port: "80"}], rules: {http: [{}]}}]'), UNENFORCED],
  ["TLS in", cilium("toPorts: [{terminatingTLS: {secret: {name: a}}}]"), UNENFORCED],
  ["TLS out", cilium("toPorts: [{originatingTLS: {secret: {name: a}}}]"), UNENFORCED],
  ["server names", cilium("toPorts: [{serverNames: [a.example]}]"), UNENFORCED],
  ["a listener", cilium("toPorts: [{listener: {}}]"), UNENFORCED],
  ["FQDNs", ciliumEgress("toFQDNs: [{matchName: a.example}]"), /egress\[0\]\.toFQDNs: .*toCIDRSet/],
  ["services", ciliumEgress("toServices: [{}]"), /toServices: .*toEndpoints/],
  ["groups", ciliumEgress("toGroups: [{}]"), /toGroups: .*toCIDRSet/],
  ["groups in", cilium("fromGroups: [{}]"), /fromGroups: .*fromCIDRSet/],
  ["nodes", ciliumEgress("toNodes: [{}]"), /toNodes: .*toEntities/],
  ["nodes in", cilium("fromNodes: [{}]"), /fromNodes: .*fromEntities/],
  ["requirements", cilium("fromRequires: [{}]"), /fromRequires: .*fromEndpoints/],
  ["requirements out", ciliumEgress("toRequires: [{}]"), /toRequires: .*toEndpoints/],
  ["a node selector", clusterwidePolicyText("nodeSelector: {}, ingress: [{}]"), /nodeSelector: .*endpointSelector/],
  ["a log", ciliumPolicyText(`log: {value: a}, ${RULE}}]`), /log: .*description/],
  ["a group of CIDRs", cilium("fromCIDRSet: [{cidrGroupRef: a}]"), /cidrGroupRef: .*write each range as cidr/],
  ["CIDRs by label", cilium("fromCIDRSet: [{cidrGroupSelector: {}}]"), /cidrGroupSelector: .*write each range as cidr/],
  ["authentication", cilium("authentication: {mode: required}"), /authentication: .*set its mode to disabled/],
  [
    "authentication in a deny rule",
    ciliumPolicyText("endpointSelector: {}, ingressDeny: [{authentication: {mode: disabled}}]"),
    /authentication: is no field here/,
  ],
  [
    "the API server",
    cilium("fromEntities: [kube-apiserver]"),
    /fromEntities\[0\]: "kube-apiserver" .*write them as CIDR/,
  ],
  ["an unknown entity", cilium("fromEntities: [moon]"), /"moon" is no entity; use one of all, world/],
  [
    "a misspelt field of a rule",
    cilium("fromEndpoint: [{}]"),
    /ingress\[0\]\.fromEndpoint: is no field here; use one of fromEndpoints, /,
  ],
  ["another case", cilium("fromendpoints: [{}]"), /fromendpoints: is no field here/],
  ["an egress field in ingress", cilium("toEndpoints: [{}]"), /toEndpoints: is no field here/],
  ["a misspelt field of a spec", ciliumPolicyText(`${RULE}}], ingres: []`), /spec\.ingres: is no field here/],
  ["a misspelt field of a document", `${networkPolicyText("podSelector: {}")}specs: []\n`, /specs: is no field here/],
  [
    "a misspelt namespace",
    networkPolicyText("podSelector: {}", "name: a, namspace: shop"),
    /metadata\.namspace: is no field/,
  ],
  [
    "a misspelt selector",
    networkPolicyText("podSelector: {matchLabel: {a: b}}"),
    /podSelector\.matchLabel: is no field/,
  ],
  ["a misspelt port", port("{ports: 80}"), /ports\[0\]\.ports: is no field here/],
  ["a misspelt Cilium port", ciliumPort('{prot: "80"}'), /ports\[0\]\.prot: is no field here/],
  ["a misspelt peer", peer("{podSelectr: {}}"), /from\[0\]\.podSelectr: is no field here/],
  ["a misspelt block", peer("{ipBlock: {cidr: 10.0.0.0/8, exept: []}}"), /ipBlock\.exept: is no field here/],
  ["a misspelt direction", ciliumPolicyText(`${RULE}}], enableDefaultDeny: {inggress: true}`), /inggress: is no field/],
  [
    "a field without value",
    cilium("fromEndpoints: "),
    /fromEndpoints: has no value; write one, or leave the field out/,
  ],
  ["ports without value", port("{port: }"), /ports\[0\]\.port: has no value/],
  [
    "a rule without value",
    ciliumPolicyText("endpointSelector: {}, ingress: [null]"),
    /ingress\[0\]: must be an object/,
  ],
  ["a list that is none", cilium("fromEndpoints: {}"), /fromEndpoints: must be a list/],
  ["an object that is none", networkPolicyText("podSelector: [a]"), /podSelector: must be an object/],
  ["no selector", ciliumPolicyText("ingress: [{}]"), /spec\.endpointSelector: is missing; write one, \{\} for every/],
  [
    "a reserved subject",
    clusterwidePolicyText('endpointSelector: {matchLabels: {"reserved:host": ""}}, ingress: [{}]'),
    /endpointSelector: .*hosts and nodes never are/,
  ],
  [
    "a subject elsewhere",
    ciliumPolicyText('endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": bank}}, ingress: [{}]'),
    /another namespace than the policy's own "shop"/,
  ],
  ["nothing said", ciliumPolicyText("endpointSelector: {}, ingress: []"), /write ingress: \[\{\}\] to admit nobody/],
  ["no spec", networkPolicyText("podSelector: {}").replace(/spec: .*\n/, ""), /guard\.yaml:1: spec: is missing/],
  [
    "no spec and no specs",
    ciliumPolicyText("").replace(/spec: .*\n/, "specs: []\n"),
    /spec: is missing; write spec, or specs/,
  ],
  [
    "a clusterwide namespace",
    clusterwidePolicyText(`${RULE}}]`, "name: a, namespace: shop"),
    /namespace: has no meaning/,
  ],
  ["a bad name", networkPolicyText("podSelector: {}", "name: A/b"), /metadata\.name: "A\/b" must be a name/],
  [
    "a bad audit",
    networkPolicyText("podSelector: {}", 'name: a, annotations: {policy.bulkhead.io/audit: "yes"}'),
    /"yes" must be "true" or "false"/,
  ],
  [
    "a bad policy type",
    networkPolicyText("podSelector: {}, policyTypes: [ingress]"),
    /"ingress" must be Ingress or Egress/,
  ],
  [
    "rules of a type left out",
    networkPolicyText("podSelector: {}, policyTypes: [Ingress], egress: [{}]"),
    /egress: has rules, but policyTypes lacks Egress/,
  ],
  ["an empty peer", peer("{}"), /podSelector: is missing/],
  ["a block beside a selector", peer("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}"), /ipBlock: cannot stand beside/],
  ["no CIDR", peer("{ipBlock: {cidr: shop}}"), /cidr: "shop" is no prefix.*; use address\/bits/],
  ["host bits", peer("{ipBlock: {cidr: 10.1.0.0/8}}"), /"10\.1\.0\.0\/8" is no prefix, or has bits beyond its length/],
  ["an address", cilium("fromCIDR: [10.0.0.1]"), /fromCIDR\[0\]: .*; write "10\.0\.0\.1\/32"/],
  ["a v6 address", cilium('fromCIDR: ["2001:db8::1"]'), /; write "2001:db8::1\/128"/],
  ["a v4-mapped prefix", cilium('fromCIDR: ["::ffff:10.0.0.0/104"]'), /is no prefix/],
  ["v4 bits of a v4-mapped prefix", cilium('fromCIDR: ["::ffff:10.0.0.0/8"]'), /is no prefix/],
  [
    "except elsewhere",
    peer("{ipBlock: {cidr: 10.1.0.0/16, except: [10.2.0.0/24]}}"),
    /except\[0\]: "10\.2\.0\.0\/24" is not inside/,
  ],
  [
    "except around",
    peer("{ipBlock: {cidr: 10.1.0.0/16, except: [10.0.0.0/8]}}"),
    /"10\.0\.0\.0\/8" is not inside 10\.1\.0\.0\/16/,
  ],
  [
    "except of the other family",
    peer('{ipBlock: {cidr: 0.0.0.0/0, except: ["2001:db8::/32"]}}'),
    /is not inside 0\.0\.0\.0\/0/,
  ],
  ["port 0", port("{port: 0}"), /port: must be from 1 to 65535; leave it out/],
  ["a port too large", port("{port: 65536}"), /port: must be a whole number from 0 to 65535/],
  ["a port in quotes", port('{port: "80"}'), /"80" is no port; use a number/],
  ["a bad port name", port("{port: HTTP}"), /"HTTP" is no port/],
  ["a long port name", port("{port: abcdefghijklmnop}"), /is no port/],
  ["a range backwards", port("{port: 90, endPort: 80}"), /endPort: 80 is below port 90; swap them/],
  ["a range of a name", port("{port: web, endPort: 80}"), /endPort: has no meaning after the port name "web"/],
  ["a range without start", port("{endPort: 80}"), /endPort: has no meaning without port/],
  ["an unknown protocol", port("{port: 80, protocol: ICMP}"), /"ICMP" must be TCP, UDP or SCTP/],
  ["a Cilium port as number", ciliumPort("{port: 80}"), /port: must be a string in quotes/],
  ["a Cilium port too large", ciliumPort('{port: "65536"}'), /port: 65536 is above 65535/],
  ["a Cilium port with a zero before it", ciliumPort('{port: "080"}'), /"080" is no port/],
  ["no Cilium port", ciliumPort("{protocol: TCP}"), /port: "" is no port/],
  ["a Cilium range of every port", ciliumPort('{port: "0", endPort: 80}'), /after port 0, which is every port/],
  ["a Cilium range of a name", ciliumPort("{port: web, endPort: 80}"), /after the port name "web"/],
  ["a Cilium range backwards", ciliumPort('{port: "90", endPort: 80}'), /80 is below port 90/],
  ["ICMP as a protocol", ciliumPort('{port: "8", protocol: ICMP}'), /for ICMP use icmps/],
  ["an empty list of ports", cilium("toPorts: []"), /toPorts: is an empty list/],
  [
    "ports beside ICMP",
    cilium("toPorts: [{}], icmps: [{fields: [{type: 8}]}]"),
    /icmps: cannot stand beside toPorts; make two rules/,
  ],
  ["an ICMP type by a name of no one", cilium("icmps: [{fields: [{type: Ping}]}]"), /"Ping" is no type of IPv4/],
  [
    "an ICMP type of the other family",
    cilium("icmps: [{fields: [{type: PacketTooBig}]}]"),
    /"PacketTooBig" is no type of IPv4/,
  ],
  ["an ICMP type too large", cilium("icmps: [{fields: [{type: 256}]}]"), /type: must be a whole number from 0 to 255/],
  ["an ICMP type too large as text", cilium('icmps: [{fields: [{type: "256"}]}]'), /"256" is no type of IPv4/],
  ["an ICMP family of no one", cilium("icmps: [{fields: [{family: v4, type: 8}]}]"), /"v4" must be IPv4 or IPv6/],
  ["no ICMP type", cilium("icmps: [{fields: [{family: IPv6}]}]"), /type: is missing/],
  ["no ICMP fields", cilium("icmps: [{}]"), /fields: names no type/],
  ["a bad label key", selector("{matchLabels: {-a: b}}"), /"-a" is no label key/],
  ["a bad label value", selector('{matchLabels: {a: "b c"}}'), /"b c" is no label value/],
  [
    "a label without value",
    selector("{matchLabels: {a: }}"),
    /matchLabels\.a: has no value; write one, "" for an empty one/,
  ],
  ["a label source of addresses", selector('{matchLabels: {"cidr:a": b}}'), /source of "cidr:a" is never seen here/],
  ["no label source", selector('{matchLabels: {":a": b}}'), /source of ":a" is never seen here/],
  [
    "a reserved label of no one",
    selector('{matchLabels: {"reserved:moon": ""}}'),
    /"reserved:moon" is never seen here/,
  ],
  ["world by label", selector('{matchLabels: {"reserved:world": ""}}'), /use the entity world/],
  ["the API server's label", selector('{matchLabels: {"reserved:kube-apiserver": ""}}'), /is never seen here/],
  [
    "a source in a NetworkPolicy",
    networkPolicyText('podSelector: {matchLabels: {"k8s:a": b}}'),
    /"k8s:a" is no label key/,
  ],
  [
    "an operator of no one",
    selector("{matchExpressions: [{key: a, operator: Is, values: [b]}]}"),
    /"Is" must be one of In, NotIn/,
  ],
  [
    "In without values",
    selector("{matchExpressions: [{key: a, operator: In}]}"),
    /values: In needs at least one value/,
  ],
  [
    "Exists with values",
    selector("{matchExpressions: [{key: a, operator: Exists, values: [b]}]}"),
    /values: Exists takes no values/,
  ],
];
