// Default deny, explicit deny, audit, and what is judged before any rule.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, clusterwidePolicy, networkPolicy } from "./documents.ts";

const LEDGER = "endpointSelector: {matchLabels: {app: ledger}}";

export const DEFAULT_DENY: readonly Scenario[] = [
  {
    title: "Without a policy everything passes, also from addresses that are not known",
    policies: [],
    checks: `
      demo/ledger <- world TCP/5432 = allowed
      demo/ledger -> osaka:shop/frontend UDP/1 = allowed
      demo/ledger <- unknown PING = allowed
      demo/ledger -> osaka-unknown SCTP/1 = allowed
    `,
  },
  {
    title: "NetworkPolicy without policyTypes: ingress",
    policies: [networkPolicy("demo/ledger", "podSelector: {matchLabels: {app: ledger}}")],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- world PING = dropped policy-denied
      demo/ledger <- host TCP/5432 = allowed
      demo/ledger <- remote-node TCP/5432 = dropped policy-denied
      demo/ledger -> world TCP/443 = allowed
      demo/ledger -> unknown TCP/443 = allowed
      demo/ledger <- unknown TCP/443 = dropped identity-unknown
    `,
  },
  {
    title: "NetworkPolicy without policyTypes: egress too, once the key is there",
    policies: [networkPolicy("demo/ledger", "podSelector: {matchLabels: {app: ledger}}\negress: []")],
    checks: `
      demo/ledger -> world TCP/443 = dropped policy-denied
      demo/ledger -> host TCP/443 = dropped policy-denied
      demo/ledger <- world TCP/443 = dropped policy-denied
    `,
  },
  {
    title: "NetworkPolicy with policyTypes: only these",
    policies: [
      networkPolicy("demo/ledger", "podSelector: {matchLabels: {app: ledger}}\npolicyTypes: [Egress]"),
      networkPolicy("demo/batch", "podSelector: {matchLabels: {app: batch}}\npolicyTypes: [Ingress]\negress: []"),
    ],
    checks: `
      demo/ledger -> world TCP/443 = dropped policy-denied
      demo/ledger <- world TCP/443 = allowed
      demo/batch -> world TCP/443 = allowed
      demo/batch <- world TCP/443 = dropped policy-denied
    `,
  },
  {
    title: "NetworkPolicy: an empty rule lets everybody in",
    policies: [
      networkPolicy("demo/closed", "podSelector: {}\npolicyTypes: [Ingress, Egress]"),
      networkPolicy("demo/open", "podSelector: {matchLabels: {app: ledger}}\ningress: [{}]"),
    ],
    checks: `
      demo/ledger <- world TCP/1 = allowed by NetworkPolicy/demo/open ingress[0]
      demo/ledger -> world TCP/1 = dropped policy-denied
      demo/plain <- demo/ledger TCP/1 = dropped policy-denied
      shop/frontend <- demo/ledger TCP/1 = allowed
    `,
  },
  {
    title: "Cilium: an empty rule is a default deny and lets nobody in",
    policies: [ciliumPolicy("demo/ledger", `${LEDGER}\ningress: [{}]`)],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- host UDP/5432 = allowed
      demo/ledger -> world TCP/443 = allowed
    `,
  },
  {
    title: "Cilium: an empty list is no default deny",
    policies: [ciliumPolicy("demo/ledger", `${LEDGER}\ningress: []\negress: [{}]`)],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger -> demo/frontend TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "Cilium: peers that are an empty list are nobody",
    policies: [
      ciliumPolicy("demo/ledger", `${LEDGER}\ningress: [{fromEndpoints: [], toPorts: [{ports: [{port: "80"}]}]}]`),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/80 = dropped policy-denied
      demo/ledger <- world TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "Cilium: a rule with ports only is for everybody",
    policies: [
      ciliumPolicy("demo/ledger", `${LEDGER}\ningress: [{toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]`),
    ],
    checks: `
      demo/ledger <- world TCP/80 = allowed
      demo/ledger <- osaka:demo/frontend TCP/80 = allowed
      demo/ledger <- demo/ghost TCP/80 = allowed
      demo/ledger <- demo/ghost TCP/81 = dropped policy-denied
      demo/ledger <- unknown TCP/80 = dropped identity-unknown
    `,
  },
  {
    title: "Cilium: enableDefaultDeny false allows without closing, true closes without a rule",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        enableDefaultDeny: {ingress: false, egress: true}
        ingress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- world TCP/5432 = allowed
      demo/ledger -> world TCP/443 = dropped policy-denied
    `,
  },
  {
    title: "A rule without default deny counts where another policy closes",
    policies: [
      ciliumPolicy(
        "demo/extra",
        `${LEDGER}\nenableDefaultDeny: {ingress: false}\ningress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]`,
      ),
      networkPolicy("demo/closed", "podSelector: {}"),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed by CiliumNetworkPolicy/demo/extra ingress[0]
      demo/ledger <- demo/batch TCP/5432 = dropped policy-denied
      demo/batch <- demo/frontend TCP/5432 = dropped policy-denied
    `,
  },
];

export const DENY: readonly Scenario[] = [
  {
    title: "A deny wins over every allow, however narrow",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints: [{matchLabels: {app: frontend}}]
            toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
          - fromEntities: [all]
        ingressDeny: [{fromEndpoints: [{matchLabels: {tier: web}}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-deny-rule by ingressDeny[0]
      demo/ledger <- demo/frontend PING = dropped policy-deny-rule
      demo/ledger <- demo/batch TCP/5432 = allowed
      demo/ledger <- shop/frontend TCP/5432 = allowed
    `,
  },
  {
    title: "A deny for everybody wins over an allow for one, by port and by protocol",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toEndpoints: [{matchLabels: {app: frontend}}]
            toPorts: [{ports: [{port: "25", protocol: TCP}, {port: "80", protocol: TCP}, {port: "53"}]}]
        egressDeny:
          - toPorts: [{ports: [{port: "25", protocol: TCP}]}]
          - toPorts: [{ports: [{port: "0", protocol: UDP}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> demo/frontend TCP/25 = dropped policy-deny-rule by egressDeny[0]
      demo/ledger -> demo/frontend TCP/80 = allowed by egress[0]
      demo/ledger -> demo/frontend UDP/53 = dropped policy-deny-rule by egressDeny[1]
      demo/ledger -> demo/frontend TCP/53 = allowed
      demo/ledger -> world TCP/25 = dropped policy-deny-rule
      demo/ledger -> world TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "A denied range cuts a hole into an allowed one",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints: [{matchLabels: {app: frontend}}]
            toPorts: [{ports: [{port: "1000", endPort: 2000, protocol: TCP}, {port: "1500", protocol: TCP}]}]
        ingressDeny:
          - fromEndpoints: [{matchLabels: {app: frontend}}]
            toPorts: [{ports: [{port: "1400", endPort: 1600, protocol: TCP}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/1399 = allowed
      demo/ledger <- demo/frontend TCP/1400 = dropped policy-deny-rule
      demo/ledger <- demo/frontend TCP/1500 = dropped policy-deny-rule
      demo/ledger <- demo/frontend TCP/1600 = dropped policy-deny-rule
      demo/ledger <- demo/frontend TCP/1601 = allowed
      demo/ledger <- demo/frontend UDP/1500 = dropped policy-denied
    `,
  },
  {
    title: "A deny of all namespaces of another policy, seen from both ends",
    policies: [
      clusterwidePolicy(
        "no-shop",
        `
        endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": demo}}
        enableDefaultDeny: {ingress: false, egress: false}
        ingressDeny: [{fromEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": shop}}]}]
        egressDeny: [{toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": shop}}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- shop/frontend TCP/80 = dropped policy-deny-rule
      demo/ledger -> shop/frontend UDP/80 = dropped policy-deny-rule
      demo/ledger <- demo/frontend TCP/80 = allowed
      demo/ledger <- osaka:shop/frontend TCP/80 = allowed
      demo/ledger -> world TCP/80 = allowed
      shop/frontend -> demo/ledger TCP/80 = allowed
      demo/ledger <- unknown TCP/80 = dropped identity-unknown
    `,
  },
  {
    title: "A deny rule alone is a default deny, unless said otherwise",
    policies: [ciliumPolicy("demo/ledger", `${LEDGER}\ningressDeny: [{fromEndpoints: [{matchLabels: {app: batch}}]}]`)],
    checks: `
      demo/ledger <- demo/batch TCP/80 = dropped policy-deny-rule
      demo/ledger <- demo/frontend TCP/80 = dropped policy-denied
      demo/ledger -> demo/batch TCP/80 = allowed
    `,
  },
  {
    title: "An empty deny rule denies nobody",
    policies: [ciliumPolicy("demo/ledger", `${LEDGER}\ningress: [{fromEntities: [all]}]\ningressDeny: [{}]`)],
    checks: `
      demo/ledger <- demo/frontend TCP/80 = allowed
      demo/ledger <- world TCP/80 = allowed
    `,
  },
  {
    title: "The own node comes in always, unless a deny rule means it",
    policies: [
      ciliumPolicy("demo/closed", `${LEDGER}\ningress: [{}]`),
      ciliumPolicy(
        "demo/batch",
        "endpointSelector: {matchLabels: {app: batch}}\ningress: [{fromEntities: [all]}]\ningressDeny: [{fromEntities: [host]}]",
      ),
    ],
    checks: `
      demo/ledger <- host TCP/8080 = allowed
      demo/ledger <- host PING = allowed
      demo/batch <- host TCP/8080 = dropped policy-deny-rule
      demo/batch <- remote-node TCP/8080 = allowed
    `,
  },
  {
    title: "A deny of the world wins over an allow by CIDR",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `${LEDGER}\negress: [{toCIDR: [203.0.113.0/24, "2001:db8::/32"]}, {toEntities: [cluster]}]\negressDeny: [{toEntities: [world]}]`,
      ),
    ],
    checks: `
      demo/ledger -> world TCP/443 = dropped policy-deny-rule
      demo/ledger -> demo/frontend TCP/443 = allowed
    `,
  },
];

export const AUDIT: readonly Scenario[] = [
  {
    title: "An audit policy lets through what it would drop, and says so",
    policies: [
      ciliumPolicy("demo/ledger", `${LEDGER}\ningress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]`, true),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- demo/batch TCP/5432 = audited policy-denied
      demo/ledger <- world PING = audited policy-denied
      demo/ledger <- unknown TCP/5432 = audited identity-unknown
      demo/ledger -> world TCP/5432 = allowed
    `,
  },
  {
    title: "An explicit deny of an audit policy drops",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `${LEDGER}\negress: [{toEndpoints: [{}]}]\negressDeny: [{toEndpoints: [{matchLabels: {app: batch}}]}]`,
        true,
      ),
    ],
    checks: `
      demo/ledger -> demo/batch UDP/1 = dropped policy-deny-rule
      demo/ledger -> demo/frontend UDP/1 = allowed
      demo/ledger -> world UDP/1 = audited policy-denied
    `,
  },
  {
    title: "One policy that is not for audit enforces for all of them",
    policies: [
      ciliumPolicy("demo/watch", `${LEDGER}\ningress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]`, true),
      networkPolicy(
        "demo/enforce",
        "podSelector: {matchLabels: {app: ledger}}\ningress: [{from: [{podSelector: {matchLabels: {app: batch}}}]}]",
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/1 = allowed
      demo/ledger <- demo/batch TCP/1 = allowed
      demo/ledger <- demo/plain TCP/1 = dropped policy-denied
      demo/ledger <- unknown TCP/1 = dropped identity-unknown
    `,
  },
  {
    title: "Audit is by direction",
    policies: [
      networkPolicy("demo/in", "podSelector: {matchLabels: {app: ledger}}\npolicyTypes: [Ingress]", true),
      networkPolicy("demo/out", "podSelector: {matchLabels: {app: ledger}}\npolicyTypes: [Egress]"),
    ],
    checks: `
      demo/ledger <- world TCP/1 = audited policy-denied
      demo/ledger -> world TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "An audited pod, whatever its policies say",
    policies: [
      networkPolicy("demo/closed", "podSelector: {}\npolicyTypes: [Ingress, Egress]"),
      ciliumPolicy(
        "demo/no-batch",
        "endpointSelector: {}\ningressDeny: [{fromEndpoints: [{matchLabels: {app: batch}}]}]",
      ),
    ],
    checks: `
      demo/watched <- demo/frontend TCP/1 = audited policy-denied
      demo/watched -> world TCP/1 = audited policy-denied
      demo/watched <- unknown PING = audited identity-unknown
      demo/watched <- demo/batch TCP/1 = dropped policy-deny-rule
      demo/plain <- demo/frontend TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "A policy without default deny does not lift audit",
    policies: [
      ciliumPolicy("demo/watch", `${LEDGER}\ningress: [{}]`, true),
      ciliumPolicy(
        "demo/extra",
        `${LEDGER}\nenableDefaultDeny: {ingress: false}\ningress: [{fromEndpoints: [{matchLabels: {app: batch}}]}]`,
      ),
    ],
    checks: `
      demo/ledger <- demo/batch TCP/1 = allowed
      demo/ledger <- demo/frontend TCP/1 = audited policy-denied
    `,
  },
];

export const ENDPOINTS: readonly Scenario[] = [
  {
    title: "A workload sends from its own addresses only, with policy and without",
    policies: [ciliumPolicy("demo/ledger", `${LEDGER}\negress: [{toEntities: [all]}]`)],
    checks: `
      demo/ledger as 10.1.0.11 -> 203.0.113.7 TCP/80 = dropped spoofed-source
      demo/ledger as fd00:1::11 -> 2001:db8::7 TCP/80 = dropped spoofed-source
      demo/ledger as 203.0.113.9 -> demo/frontend UDP/80 = dropped spoofed-source
      demo/frontend as 10.1.0.12 -> 203.0.113.7 ICMP/8 = dropped spoofed-source
      demo/ledger -> world TCP/80 = allowed
    `,
  },
  {
    title: "A workload that is not known is closed as soon as there is a policy, for whomever",
    policies: [networkPolicy("tools/any", "podSelector: {matchLabels: {app: nobody}}")],
    checks: `
      stranger <- demo/frontend TCP/80 = dropped endpoint-unknown
      stranger -> world TCP/80 = dropped endpoint-unknown
      stranger -> world PING = dropped endpoint-unknown
      demo/ledger -> world TCP/80 = allowed
    `,
  },
  {
    title: "Without any policy an unknown workload is let be",
    policies: [],
    checks: `
      stranger <- demo/frontend TCP/80 = allowed
      stranger -> world UDP/80 = allowed
    `,
  },
  {
    title: "Set to allow, an unknown workload is let be",
    policies: [networkPolicy("tools/any", "podSelector: {matchLabels: {app: nobody}}")],
    settings: { unknownEndpoints: "allow" },
    checks: `
      stranger <- demo/frontend TCP/80 = allowed
      stranger -> world TCP/80 = allowed
    `,
  },
];
