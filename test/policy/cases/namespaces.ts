// Whom selectors mean when they say, or do not say, a namespace.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, clusterwidePolicy, networkPolicy } from "./documents.ts";

export const NAMESPACES: readonly Scenario[] = [
  {
    title: "NetworkPolicy: a podSelector alone means pods of the own namespace",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress:
          - from: [{podSelector: {matchLabels: {app: frontend}}}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed by ingress[0]
      demo/ledger <- shop/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- demo/batch UDP/53 = dropped policy-denied
      demo/ledger -> world TCP/443 = allowed
      demo/frontend <- shop/frontend TCP/80 = allowed
    `,
  },
  {
    title: "NetworkPolicy: a namespaceSelector alone means every pod of the namespaces",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress:
          - from: [{namespaceSelector: {matchLabels: {team: shop}}}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- shop/frontend TCP/5432 = allowed
      demo/ledger <- shop/forger PING = allowed
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- tools/probe TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "NetworkPolicy: both selectors in one peer are an and, in two peers an or",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        policyTypes: [Egress]
        egress:
          - to:
              - namespaceSelector: {matchLabels: {env: prod}}
                podSelector: {matchLabels: {app: frontend}}
              - podSelector: {matchLabels: {app: batch}}
        `,
      ),
    ],
    checks: `
      demo/ledger -> shop/frontend TCP/80 = allowed by egress[0]
      demo/ledger -> demo/frontend TCP/80 = allowed
      demo/ledger -> demo/batch SCTP/80 = allowed
      demo/ledger -> shop/forger TCP/80 = dropped policy-denied
      demo/ledger -> tools/probe TCP/80 = dropped policy-denied
      demo/ledger <- tools/probe TCP/80 = allowed
    `,
  },
  {
    title: "NetworkPolicy: the namespace's own name is a label of it",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress:
          - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: tools}}}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- tools/probe TCP/5432 = allowed
      demo/ledger <- shop/frontend TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "NetworkPolicy: an empty namespaceSelector means pods of every namespace, but no other addresses",
    policies: [networkPolicy("demo/all-pods", "podSelector: {}\ningress: [{from: [{namespaceSelector: {}}]}]")],
    checks: `
      demo/ledger <- tools/probe TCP/5432 = allowed
      demo/plain <- shop/frontend UDP/9 = allowed
      demo/plain <- world TCP/80 = dropped policy-denied
      demo/plain <- remote-node TCP/80 = dropped policy-denied
      demo/plain <- unknown TCP/80 = dropped identity-unknown
      shop/frontend <- world TCP/80 = allowed
    `,
  },
  {
    title: "CiliumNetworkPolicy: an empty selector means the own namespace",
    policies: [ciliumPolicy("demo/ledger", "endpointSelector: {}\ningress: [{fromEndpoints: [{}]}]")],
    checks: `
      demo/ledger <- demo/plain TCP/5432 = allowed
      demo/ledger <- shop/frontend TCP/5432 = dropped policy-denied
      demo/plain <- demo/ledger-2 PING = allowed
      demo/plain <- tools/probe PING = dropped policy-denied
      tools/probe <- shop/frontend TCP/1 = allowed
    `,
  },
  {
    title: "CiliumNetworkPolicy: a selector that names a namespace means that one",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": shop, app: frontend}}]
          - toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: tools}}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> shop/frontend TCP/80 = allowed by egress[0]
      demo/ledger -> tools/probe TCP/80 = allowed by egress[1]
      demo/ledger -> demo/frontend TCP/80 = dropped policy-denied
      demo/ledger -> shop/forger TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "CiliumNetworkPolicy: a namespace's labels name a namespace too",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.env": dev}}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- tools/probe TCP/5432 = allowed
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "CiliumNetworkPolicy: any namespace, by an expression",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints:
              - matchLabels: {app: frontend}
                matchExpressions: [{key: "any:io.kubernetes.pod.namespace", operator: Exists}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- shop/frontend TCP/5432 = allowed
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- tools/probe TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "CiliumClusterwideNetworkPolicy: nothing is added, on neither side",
    policies: [
      clusterwidePolicy(
        "frontends",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        ingress: [{fromEndpoints: [{}]}]
        `,
      ),
    ],
    checks: `
      demo/frontend <- tools/probe TCP/80 = allowed by ingress[0]
      shop/frontend <- demo/ledger UDP/80 = allowed
      shop/frontend <- world TCP/80 = dropped policy-denied
      shop/frontend <- osaka:demo/ledger TCP/80 = dropped policy-denied
      tools/probe <- world TCP/80 = allowed
    `,
  },
  {
    title: "A pod's labels cannot forge a namespace",
    policies: [ciliumPolicy("demo/all", "endpointSelector: {}\ningress: [{fromEndpoints: [{}]}]")],
    checks: `
      demo/ledger <- shop/forger TCP/5432 = dropped policy-denied
      shop/forger <- world TCP/5432 = allowed
    `,
  },
  {
    title: "A pod's labels cannot forge a namespace's labels",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress: [{from: [{namespaceSelector: {matchLabels: {team: mesh}}}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- shop/forger TCP/5432 = dropped policy-denied
      demo/ledger <- demo/plain TCP/5432 = allowed
    `,
  },
];
