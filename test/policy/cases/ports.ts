// Ports, ranges and protocols.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, networkPolicy } from "./documents.ts";

export const PORTS: readonly Scenario[] = [
  {
    title: "NetworkPolicy: TCP by default, other protocols by name",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress:
          - ports: [{port: 5432}, {port: 53, protocol: UDP}, {port: 3868, protocol: SCTP}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- demo/frontend UDP/5432 = dropped policy-denied
      demo/ledger <- osaka:demo/frontend UDP/53 = allowed
      demo/ledger <- world TCP/53 = dropped policy-denied
      demo/ledger <- world SCTP/3868 = allowed
      demo/ledger <- world SCTP/3867 = dropped policy-denied
      demo/ledger <- world PING = dropped policy-denied
      demo/ledger <- unknown TCP/5432 = dropped identity-unknown
    `,
  },
  {
    title: "NetworkPolicy: a protocol without port is all of its ports",
    policies: [
      networkPolicy(
        "demo/ledger",
        "podSelector: {matchLabels: {app: ledger}}\npolicyTypes: [Egress]\negress: [{ports: [{protocol: UDP}]}]",
      ),
    ],
    checks: `
      demo/ledger -> world UDP/1 = allowed by egress[0]
      demo/ledger -> demo/plain UDP/65535 = allowed
      demo/ledger -> world TCP/1 = dropped policy-denied
      demo/ledger -> world SCTP/1 = dropped policy-denied
      demo/ledger -> world PING = dropped policy-denied
    `,
  },
  {
    title: "Ranges that no prefix fits: both ends in, their neighbours out",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress: [{ports: [{port: 1001, endPort: 4998}, {port: 32768, endPort: 65535, protocol: UDP}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/1000 = dropped policy-denied
      demo/ledger <- demo/frontend TCP/1001 = allowed
      demo/ledger <- demo/frontend TCP/1024 = allowed
      demo/ledger <- demo/frontend TCP/4095 = allowed
      demo/ledger <- demo/frontend TCP/4998 = allowed
      demo/ledger <- demo/frontend TCP/4999 = dropped policy-denied
      demo/ledger <- demo/frontend UDP/32767 = dropped policy-denied
      demo/ledger <- demo/frontend UDP/32768 = allowed
      demo/ledger <- demo/frontend UDP/65535 = allowed
    `,
  },
  {
    title: "Cilium: a port without protocol is that of TCP, UDP and SCTP, and not of ICMP",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - toPorts: [{ports: [{port: "80"}]}]
          - toPorts: [{ports: [{port: "443", protocol: ANY}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/80 = allowed by ingress[0]
      demo/ledger <- world UDP/80 = allowed
      demo/ledger <- osaka:demo/frontend SCTP/80 = allowed
      demo/ledger <- world UDP/443 = allowed by ingress[1]
      demo/ledger <- world UDP/444 = dropped policy-denied
      demo/ledger <- world PING = dropped policy-denied
      demo/ledger <- world GRE = dropped policy-denied
    `,
  },
  {
    title: "Cilium: ranges and port 0",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toEndpoints: [{matchLabels: {app: frontend}}]
            toPorts: [{ports: [{port: "8000", endPort: 8099, protocol: TCP}, {port: "0", protocol: UDP}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> demo/frontend TCP/7999 = dropped policy-denied
      demo/ledger -> demo/frontend TCP/8000 = allowed
      demo/ledger -> demo/frontend TCP/8099 = allowed
      demo/ledger -> demo/frontend TCP/8100 = dropped policy-denied
      demo/ledger -> demo/frontend UDP/8100 = allowed
      demo/ledger -> demo/frontend SCTP/8050 = dropped policy-denied
      demo/ledger -> demo/batch TCP/8050 = dropped policy-denied
      demo/ledger -> shop/frontend TCP/8050 = dropped policy-denied
    `,
  },
  {
    title: "Cilium: several lists of ports are an or; a list without ports is every port",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints: [{matchLabels: {app: frontend}}]
            toPorts:
              - ports: [{port: "80", protocol: TCP}]
              - ports: [{port: "53", protocol: UDP}]
          - fromEndpoints: [{matchLabels: {app: batch}}]
            toPorts: [{ports: []}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/80 = allowed by ingress[0]
      demo/ledger <- demo/frontend UDP/53 = allowed
      demo/ledger <- demo/frontend TCP/53 = dropped policy-denied
      demo/ledger <- demo/batch SCTP/7 = allowed by ingress[1]
      demo/ledger <- demo/batch PING = allowed
    `,
  },
  {
    title: "A rule without ports is every protocol, also those without ports",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        "endpointSelector: {matchLabels: {app: ledger}}\ningress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]",
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend GRE = allowed
      demo/ledger <- demo/frontend SCTP/1 = allowed
      demo/ledger <- demo/frontend PING = allowed
      demo/ledger <- demo/batch GRE = dropped policy-denied
    `,
  },
  {
    title: "Overlapping ranges of several rules are a union",
    policies: [
      networkPolicy(
        "demo/low",
        "podSelector: {matchLabels: {app: ledger}}\ningress: [{ports: [{port: 100, endPort: 200}]}]",
      ),
      networkPolicy(
        "demo/high",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress: [{from: [{podSelector: {matchLabels: {app: frontend}}}], ports: [{port: 150, endPort: 300}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/99 = dropped policy-denied
      demo/ledger <- demo/frontend TCP/100 = allowed by NetworkPolicy/demo/low ingress[0]
      demo/ledger <- demo/frontend TCP/175 = allowed
      demo/ledger <- demo/frontend TCP/250 = allowed by NetworkPolicy/demo/high ingress[0]
      demo/ledger <- demo/batch TCP/250 = dropped policy-denied
      demo/ledger <- demo/batch TCP/200 = allowed
      demo/ledger <- demo/frontend TCP/301 = dropped policy-denied
    `,
  },
];

export const NAMED_PORTS: readonly Scenario[] = [
  {
    title: "Ingress: a name is a port of the endpoint's own, with its protocol",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress: [{ports: [{port: sql}, {port: dns, protocol: UDP}, {port: sig, protocol: TCP}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- demo/frontend TCP/5433 = dropped policy-denied
      demo/ledger <- osaka:demo/ledger TCP/6432 = dropped policy-denied
      demo/ledger <- world UDP/53 = allowed
      demo/ledger <- world TCP/53 = dropped policy-denied
      demo/ledger <- world SCTP/3868 = dropped policy-denied
      demo/ledger <- world TCP/3868 = dropped policy-denied
    `,
  },
  {
    title: "Ingress: one policy, one name, another number on each endpoint",
    policies: [
      ciliumPolicy(
        "demo/http",
        'endpointSelector: {}\ningress: [{fromEntities: [all], toPorts: [{ports: [{port: "http", protocol: TCP}]}]}]',
      ),
      ciliumPolicy(
        "shop/http",
        'endpointSelector: {}\ningress: [{fromEntities: [all], toPorts: [{ports: [{port: "http", protocol: TCP}]}]}]',
      ),
    ],
    checks: `
      demo/frontend <- world TCP/8080 = allowed
      demo/frontend <- world TCP/8081 = dropped policy-denied
      shop/frontend <- world TCP/8081 = allowed
      shop/frontend <- world TCP/8080 = dropped policy-denied
      demo/plain <- world TCP/8080 = dropped policy-denied
    `,
  },
  {
    title: "Egress: a name is every number that pods of the peer's identity give it",
    policies: [
      ciliumPolicy(
        "demo/frontend",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        egress:
          - toEndpoints: [{matchLabels: {app: ledger}}]
            toPorts: [{ports: [{port: "sql", protocol: TCP}]}]
        `,
      ),
    ],
    checks: `
      demo/frontend -> demo/ledger TCP/5432 = allowed
      demo/frontend -> demo/ledger TCP/5433 = allowed
      demo/frontend -> demo/ledger-2 TCP/5432 = allowed
      demo/frontend -> demo/ledger-2 TCP/5433 = allowed
      demo/frontend -> demo/ledger UDP/5432 = dropped policy-denied
      demo/frontend -> demo/ledger TCP/6432 = dropped policy-denied
      demo/frontend -> osaka:demo/ledger TCP/6432 = dropped policy-denied
    `,
  },
  {
    title: "Egress: names of another cluster's pods",
    policies: [
      ciliumPolicy(
        "demo/frontend",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        egress:
          - toEndpoints: [{matchLabels: {app: ledger, io.cilium.k8s.policy.cluster: osaka}}]
            toPorts: [{ports: [{port: "sql"}]}]
        `,
      ),
    ],
    checks: `
      demo/frontend -> osaka:demo/ledger TCP/6432 = allowed by egress[0]
      demo/frontend -> osaka:demo/ledger TCP/5432 = dropped policy-denied
      demo/frontend -> osaka:demo/ledger UDP/6432 = dropped policy-denied
      demo/frontend -> demo/ledger TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "Egress: a NetworkPolicy's names, each peer by its own",
    policies: [
      networkPolicy(
        "demo/batch",
        `
        podSelector: {matchLabels: {app: batch}}
        policyTypes: [Egress]
        egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]
        `,
      ),
    ],
    checks: `
      demo/batch -> demo/frontend TCP/8080 = allowed
      demo/batch -> shop/frontend TCP/8081 = allowed
      demo/batch -> shop/frontend TCP/8080 = dropped policy-denied
      demo/batch -> demo/plain TCP/8080 = dropped policy-denied
      demo/batch -> osaka:demo/frontend TCP/8082 = dropped policy-denied
    `,
  },
  {
    title: "Egress: a name opens nothing towards anybody, entities and CIDRs",
    policies: [
      ciliumPolicy(
        "demo/frontend",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        egress:
          - toPorts: [{ports: [{port: "sql"}]}]
          - toEntities: [all, cluster]
            toPorts: [{ports: [{port: "sql"}]}]
          - toCIDR: [203.0.113.0/24, "2001:db8::/32"]
            toPorts: [{ports: [{port: "sql"}]}]
        `,
      ),
    ],
    checks: `
      demo/frontend -> demo/ledger TCP/5432 = dropped policy-denied
      demo/frontend -> world TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "Egress: endpoints keep their names beside anybody, entities and CIDRs in the same rule",
    policies: [
      ciliumPolicy(
        "demo/frontend",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        egress:
          - toEndpoints: [{matchLabels: {app: ledger}}]
            toEntities: [all]
            toPorts: [{ports: [{port: "sql"}, {port: "443", protocol: TCP}]}]
        `,
      ),
      ciliumPolicy(
        "shop/frontend",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        egress: [{toEntities: [all]}]
        egressDeny:
          - toEndpoints: [{matchLabels: {app: ledger, io.kubernetes.pod.namespace: demo}}]
            toEntities: [all]
            toPorts: [{ports: [{port: "sql"}]}]
        `,
      ),
    ],
    checks: `
      demo/frontend -> demo/ledger TCP/5432 = allowed
      demo/frontend -> demo/ledger TCP/443 = allowed
      demo/frontend -> world TCP/443 = allowed
      demo/frontend -> world TCP/5432 = dropped policy-denied
      shop/frontend -> demo/ledger TCP/5432 = dropped policy-deny-rule
      shop/frontend -> demo/ledger TCP/80 = allowed
    `,
  },
  {
    title: "A name that nobody has opens nothing, beside a number that does",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress: [{toPorts: [{ports: [{port: "nosuch"}, {port: "80", protocol: TCP}]}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/80 = allowed
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "A deny by name",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress: [{fromEntities: [all]}]
        ingressDeny: [{toPorts: [{ports: [{port: "metrics"}]}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/9100 = dropped policy-deny-rule by ingressDeny[0]
      demo/ledger <- demo/frontend UDP/9100 = allowed
      demo/ledger <- world TCP/9101 = allowed
    `,
  },
];

export const MESSAGES: readonly Scenario[] = [
  {
    title: "ICMP types by number, each family its own",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress: [{icmps: [{fields: [{type: 8, family: IPv4}, {type: 128, family: IPv6}]}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend PING = allowed by ingress[0]
      demo/ledger <- osaka:demo/frontend PING = allowed
      demo/ledger <- world PING = allowed
      demo/ledger <- demo/frontend ICMP/13 = dropped policy-denied
      demo/ledger <- demo/frontend TCP/8 = dropped policy-denied
      demo/ledger <- demo/frontend UDP/128 = dropped policy-denied
    `,
  },
  {
    title: "ICMP types by name; the family is IPv4 unless said",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toEndpoints: [{matchLabels: {app: frontend}}]
            icmps: [{fields: [{type: EchoRequest}]}]
          - toEntities: [world]
            icmps: [{fields: [{type: EchoRequest, family: IPv6}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> demo/frontend ICMP/8 = allowed by egress[0]
      demo/ledger -> demo/frontend ICMPv6/128 = dropped policy-denied
      demo/ledger -> demo/frontend ICMPv6/8 = dropped policy-denied
      demo/ledger -> world ICMPv6/128 = allowed by egress[1]
      demo/ledger -> world ICMP/8 = dropped policy-denied
      demo/ledger -> demo/batch ICMP/8 = dropped policy-denied
    `,
  },
  {
    title: "A deny of one message inside an allow of everything",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress: [{toEntities: [all]}]
        egressDeny: [{toEntities: [world], icmps: [{fields: [{type: 8}, {type: EchoRequest, family: IPv6}]}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> world PING = dropped policy-deny-rule by egressDeny[0]
      demo/ledger -> world ICMP/13 = allowed
      demo/ledger -> demo/frontend PING = allowed
      demo/ledger -> world UDP/8 = allowed
    `,
  },
];
