// Entities: who is meant by host, world, cluster and the like.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, clusterwidePolicy } from "./documents.ts";

const from = (entities: string): string =>
  ciliumPolicy(
    "demo/ledger",
    `endpointSelector: {matchLabels: {app: ledger}}\ningress: [{fromEntities: [${entities}]}]`,
  );
const to = (entities: string): string =>
  ciliumPolicy(
    "demo/ledger-out",
    `endpointSelector: {matchLabels: {app: ledger}}\negress: [{toEntities: [${entities}]}]`,
  );

export const ENTITIES: readonly Scenario[] = [
  {
    title: "all: everybody who is known, and nobody who is not",
    policies: [from("all")],
    checks: `
      demo/ledger <- world TCP/5432 = allowed by ingress[0]
      demo/ledger <- osaka:shop/frontend UDP/5432 = allowed
      demo/ledger <- host PING = allowed
      demo/ledger <- demo/ghost TCP/5432 = allowed
      demo/ledger <- unknown TCP/5432 = dropped identity-unknown
    `,
  },
  {
    title: "world: addresses outside of the clusters, not their nodes and pods",
    policies: [to("world")],
    checks: `
      demo/ledger -> world TCP/443 = allowed
      demo/ledger -> world PING = allowed
      demo/ledger -> demo/frontend TCP/443 = dropped policy-denied
      demo/ledger -> osaka:demo/frontend TCP/443 = dropped policy-denied
      demo/ledger -> host TCP/443 = dropped policy-denied
      demo/ledger -> osaka-node TCP/443 = dropped policy-denied
      demo/ledger -> osaka-unknown TCP/443 = dropped identity-unknown
    `,
  },
  {
    title: "world holds addresses that another policy names by CIDR",
    policies: [
      to("world"),
      ciliumPolicy("demo/batch", "endpointSelector: {matchLabels: {app: batch}}\negress: [{toCIDR: [203.0.113.0/24]}]"),
    ],
    checks: `
      demo/ledger -> 203.0.113.7 TCP/443 = allowed
      demo/ledger -> 198.51.100.1 TCP/443 = allowed
      demo/batch -> 203.0.113.7 TCP/443 = allowed
      demo/batch -> 198.51.100.1 TCP/443 = dropped policy-denied
    `,
  },
  {
    title: "world-ipv4 and world-ipv6",
    policies: [from("world-ipv4"), to("world-ipv6")],
    checks: `
      demo/ledger <- 203.0.113.7 TCP/5432 = allowed
      demo/ledger <- 2001:db8::7 TCP/5432 = dropped policy-denied
      demo/ledger -> 2001:db8::7 UDP/53 = allowed
      demo/ledger -> 203.0.113.7 UDP/53 = dropped policy-denied
    `,
  },
  {
    title: "cluster: own pods and every node, no pods of other clusters",
    policies: [from("cluster")],
    checks: `
      demo/ledger <- tools/probe TCP/5432 = allowed
      demo/ledger <- demo/plain TCP/5432 = allowed
      demo/ledger <- host TCP/5432 = allowed
      demo/ledger <- remote-node TCP/5432 = allowed
      demo/ledger <- osaka-node TCP/5432 = allowed
      demo/ledger <- health TCP/5432 = allowed
      demo/ledger <- ingress TCP/5432 = allowed
      demo/ledger <- osaka:demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- world TCP/5432 = dropped policy-denied
      demo/ledger <- demo/ghost TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "cluster does not grow with the default-local-cluster setting",
    policies: [to("cluster")],
    settings: { defaultLocalCluster: false },
    checks: `
      demo/ledger -> shop/frontend TCP/80 = allowed
      demo/ledger -> osaka:shop/frontend TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "host: this node; a pod is open to it anyway, but not it to a pod",
    policies: [to("host")],
    checks: `
      demo/ledger -> host TCP/80 = allowed
      demo/ledger -> remote-node TCP/80 = dropped policy-denied
      demo/ledger -> osaka-node TCP/80 = dropped policy-denied
      demo/ledger -> demo/frontend TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "remote-node: the other nodes of every cluster",
    policies: [from("remote-node"), to("remote-node")],
    checks: `
      demo/ledger <- remote-node UDP/1 = allowed
      demo/ledger <- osaka-node TCP/5432 = allowed
      demo/ledger <- demo/ledger-2 TCP/5432 = dropped policy-denied
      demo/ledger -> osaka-node TCP/5432 = allowed
      demo/ledger -> host TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "health and ingress: addresses of a node with a meaning of their own",
    policies: [from("health, ingress")],
    checks: `
      demo/ledger <- health TCP/4240 = allowed
      demo/ledger <- ingress TCP/80 = allowed
      demo/ledger <- remote-node TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "none: nobody, and yet a default deny",
    policies: [from("none"), to("none")],
    checks: `
      demo/ledger <- demo/frontend TCP/80 = dropped policy-denied
      demo/ledger -> demo/frontend TCP/80 = dropped policy-denied
      demo/ledger <- host TCP/80 = allowed
    `,
  },
  {
    title: "init and unmanaged are nobody's address here",
    policies: [to("init, unmanaged")],
    checks: `
      demo/ledger -> demo/plain TCP/80 = dropped policy-denied
      demo/ledger -> world TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "Reserved labels in selectors mean the same as their entities",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress: [{fromEndpoints: [{matchLabels: {"reserved:remote-node": ""}}]}]
        egress: [{toEndpoints: [{matchExpressions: [{key: "reserved:host", operator: Exists}]}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- remote-node TCP/80 = allowed
      demo/ledger <- osaka-node TCP/80 = allowed
      demo/ledger <- demo/frontend TCP/80 = dropped policy-denied
      demo/ledger -> host TCP/80 = allowed
      demo/ledger -> remote-node TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "Entities beside selectors and CIDRs in one rule add up",
    policies: [
      clusterwidePolicy(
        "probes",
        `
        endpointSelector: {matchLabels: {app: probe}}
        egress:
          - toEntities: [host]
            toEndpoints: [{matchLabels: {app: ledger}}]
            toCIDR: [203.0.113.0/24, "2001:db8::/32"]
        `,
      ),
    ],
    checks: `
      tools/probe -> host TCP/1 = allowed
      tools/probe -> demo/ledger TCP/1 = allowed
      tools/probe -> world TCP/1 = allowed
      tools/probe -> demo/frontend TCP/1 = dropped policy-denied
      tools/probe -> 198.51.100.1 TCP/1 = dropped policy-denied
    `,
  },
];
