// CIDR peers: addresses outside of the clusters, with holes.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, networkPolicy } from "./documents.ts";

export const CIDRS: readonly Scenario[] = [
  {
    title: "NetworkPolicy: ipBlock with except, both families",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        policyTypes: [Egress]
        egress:
          - to:
              - ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.64/26]}
              - ipBlock: {cidr: "2001:db8::/32", except: ["2001:db8:bad::/48"]}
        `,
      ),
    ],
    checks: `
      demo/ledger -> 203.0.113.7 TCP/443 = allowed by egress[0]
      demo/ledger -> 203.0.113.63 UDP/53 = allowed
      demo/ledger -> 203.0.113.64 TCP/443 = dropped policy-denied
      demo/ledger -> 203.0.113.127 ICMP/8 = dropped policy-denied
      demo/ledger -> 203.0.113.128 TCP/443 = allowed
      demo/ledger -> 203.0.112.255 TCP/443 = dropped policy-denied
      demo/ledger -> 203.0.114.0 TCP/443 = dropped policy-denied
      demo/ledger -> 2001:db8::7 TCP/443 = allowed
      demo/ledger -> 2001:db8:bad::7 TCP/443 = dropped policy-denied
      demo/ledger -> 2001:db9::7 TCP/443 = dropped policy-denied
      demo/ledger <- 198.51.100.1 TCP/443 = allowed
    `,
  },
  {
    title: "ipBlock on ingress",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/25}}], ports: [{port: 5432}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- 198.51.100.5 TCP/5432 = allowed
      demo/ledger <- 198.51.100.5 TCP/5433 = dropped policy-denied
      demo/ledger <- 198.51.100.128 TCP/5432 = dropped policy-denied
      demo/ledger <- world TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "A CIDR never means pods or nodes, even when they are inside",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress: [{toCIDR: [10.0.0.0/8, 192.168.0.0/16, "fd00::/8"]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> 10.200.0.1 TCP/80 = allowed
      demo/ledger -> fd99::1 TCP/80 = allowed
      demo/ledger -> 192.168.77.1 TCP/80 = allowed
      demo/ledger -> demo/frontend TCP/80 = dropped policy-denied
      demo/ledger -> osaka:demo/frontend TCP/80 = dropped policy-denied
      demo/ledger -> host TCP/80 = dropped policy-denied
      demo/ledger -> osaka-node TCP/80 = dropped policy-denied
      demo/ledger -> unknown TCP/80 = dropped identity-unknown
      demo/ledger -> osaka-unknown TCP/80 = dropped identity-unknown
    `,
  },
  {
    title: "0.0.0.0/0 is the whole v4 world and nothing of v6",
    policies: [
      ciliumPolicy("demo/ledger", "endpointSelector: {matchLabels: {app: ledger}}\negress: [{toCIDR: [0.0.0.0/0]}]"),
    ],
    checks: `
      demo/ledger -> 203.0.113.7 TCP/443 = allowed
      demo/ledger -> 8.8.8.8 UDP/53 = allowed
      demo/ledger -> 2001:db8::7 TCP/443 = dropped policy-denied
      demo/ledger -> demo/frontend TCP/443 = dropped policy-denied
    `,
  },
  {
    title: "::/0 is the whole v6 world and nothing of v4",
    policies: [
      ciliumPolicy("demo/ledger", 'endpointSelector: {matchLabels: {app: ledger}}\negress: [{toCIDR: ["::/0"]}]'),
    ],
    checks: `
      demo/ledger -> 2001:db8::7 TCP/443 = allowed
      demo/ledger -> 203.0.113.7 TCP/443 = dropped policy-denied
      demo/ledger -> osaka:demo/ledger UDP/53 = dropped policy-denied
    `,
  },
  {
    title: "Single addresses and odd prefix lengths",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromCIDR: [203.0.113.7/32, "2001:db8::7/128"]
          - fromCIDR: [198.51.100.2/31, "2001:db8:1:2000::/51"]
        `,
      ),
    ],
    checks: `
      demo/ledger <- world TCP/5432 = allowed by ingress[0]
      demo/ledger <- 203.0.113.6 TCP/5432 = dropped policy-denied
      demo/ledger <- 2001:db8::6 TCP/5432 = dropped policy-denied
      demo/ledger <- 198.51.100.2 TCP/5432 = allowed by ingress[1]
      demo/ledger <- 198.51.100.3 TCP/5432 = allowed
      demo/ledger <- 198.51.100.4 TCP/5432 = dropped policy-denied
      demo/ledger <- 2001:db8:1:3fff::1 UDP/5432 = allowed
      demo/ledger <- 2001:db8:1:4000::1 UDP/5432 = dropped policy-denied
    `,
  },
  {
    title: "A hole of one rule may be filled by another",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.0/28]}]
          - toCIDR: [203.0.113.8/29]
            toPorts: [{ports: [{port: "53", protocol: UDP}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> 203.0.113.20 TCP/80 = allowed by egress[0]
      demo/ledger -> 203.0.113.7 UDP/53 = dropped policy-denied
      demo/ledger -> 203.0.113.9 UDP/53 = allowed by egress[1]
      demo/ledger -> 203.0.113.9 TCP/53 = dropped policy-denied
    `,
  },
  {
    title: "A hole within which another CIDR of the same rule lies",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toCIDR: [203.0.113.32/28]
            toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.32/27]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> 203.0.113.1 TCP/80 = allowed
      demo/ledger -> 203.0.113.33 TCP/80 = allowed
      demo/ledger -> 203.0.113.48 TCP/80 = dropped policy-denied
      demo/ledger -> 203.0.113.64 TCP/80 = allowed
    `,
  },
  {
    title: "CIDRs of one policy do not disturb those of another",
    policies: [
      ciliumPolicy("demo/wide", "endpointSelector: {matchLabels: {app: ledger}}\negress: [{toCIDR: [198.51.0.0/16]}]"),
      ciliumPolicy(
        "demo/narrow",
        "endpointSelector: {matchLabels: {app: batch}}\negress: [{toCIDR: [198.51.100.0/24]}]",
      ),
    ],
    checks: `
      demo/ledger -> 198.51.100.1 TCP/80 = allowed
      demo/ledger -> 198.51.1.1 TCP/80 = allowed
      demo/batch -> 198.51.100.1 TCP/80 = allowed
      demo/batch -> 198.51.1.1 TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "A deny by CIDR inside an allow by CIDR, and the other way round",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress: [{toCIDR: [203.0.113.0/24, 198.51.100.0/28]}]
        egressDeny:
          - toCIDRSet: [{cidr: 203.0.113.0/25, except: [203.0.113.64/26]}]
          - toCIDR: [198.51.100.0/24]
        `,
      ),
    ],
    checks: `
      demo/ledger -> 203.0.113.1 TCP/80 = dropped policy-deny-rule by egressDeny[0]
      demo/ledger -> 203.0.113.65 TCP/80 = allowed
      demo/ledger -> 203.0.113.200 TCP/80 = allowed
      demo/ledger -> 198.51.100.1 TCP/80 = dropped policy-deny-rule by egressDeny[1]
      demo/ledger -> 192.0.2.1 TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "A CIDR that holds the CIDRs of pods, and one inside of them",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress: [{toCIDR: [10.2.0.0/16, 10.3.0.0/28, "fd00:3::/96"]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> 10.2.9.1 TCP/80 = allowed
      demo/ledger -> 10.2.0.77 TCP/80 = dropped identity-unknown
      demo/ledger -> 10.3.0.5 TCP/80 = dropped identity-unknown
      demo/ledger -> fd00:3::5 TCP/80 = dropped identity-unknown
      demo/ledger -> virginia:demo/frontend TCP/80 = dropped policy-denied
    `,
  },
];
