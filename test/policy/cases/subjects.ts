// Who is selected: service accounts, expressions, lists of specs, several policies at once.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, ciliumSpecs, clusterwidePolicy, networkPolicy } from "./documents.ts";

export const SERVICE_ACCOUNTS: readonly Scenario[] = [
  {
    title: "A peer by service account, in the own namespace",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {"k8s:io.cilium.k8s.policy.serviceaccount": ledger}}
        ingress: [{fromEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.policy.serviceaccount": frontend}}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- shop/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- demo/plain TCP/5432 = dropped policy-denied
      demo/plain <- shop/frontend TCP/5432 = allowed
    `,
  },
  {
    title: "A service account of another cluster",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints:
              - matchLabels: {io.cilium.k8s.policy.serviceaccount: frontend, io.cilium.k8s.policy.cluster: osaka}
        `,
      ),
    ],
    checks: `
      demo/ledger <- osaka:demo/frontend TCP/5432 = allowed
      demo/ledger <- osaka:demo/ledger TCP/5432 = dropped policy-denied
      demo/ledger <- virginia:demo/frontend TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "A pod's labels cannot forge a service account",
    policies: [
      clusterwidePolicy(
        "frontends",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: ledger}}]}]
        `,
      ),
    ],
    checks: `
      shop/frontend <- shop/forger TCP/80 = dropped policy-denied
      shop/frontend <- demo/ledger TCP/80 = allowed
    `,
  },
];

export const TRUST: readonly Scenario[] = [
  {
    title: "Another cluster cannot take addresses of ours, nor one with a higher id those of a lower",
    policies: [
      clusterwidePolicy(
        "thieves",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints: [{matchLabels: {app: thief}, matchExpressions: [{key: io.cilium.k8s.policy.cluster, operator: Exists}]}]
        ingressDeny: [{fromEntities: [host]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/batch TCP/1 = dropped policy-denied
      demo/ledger <- host TCP/1 = dropped policy-deny-rule
      demo/ledger <- osaka:demo/frontend TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "Reserved identities count for addresses of nodes of the cluster that says so",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        "endpointSelector: {matchLabels: {app: ledger}}\ningress: [{fromEntities: [health]}]",
      ),
    ],
    checks: `
      demo/ledger <- health TCP/1 = allowed
      demo/ledger <- 203.0.113.50 TCP/1 = dropped policy-denied
      demo/ledger <- demo/plain TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "Another cluster cannot claim ours, or the world, as its pods' range",
    policies: [
      ciliumPolicy("demo/ledger", "endpointSelector: {matchLabels: {app: ledger}}\ningress: [{fromEntities: [world]}]"),
    ],
    checks: `
      demo/ledger <- 8.8.8.8 TCP/1 = allowed
      demo/ledger <- 10.1.77.1 TCP/1 = allowed
      demo/ledger <- world TCP/1 = allowed
      demo/ledger <- unknown TCP/1 = dropped identity-unknown
    `,
  },
];

export const EXPRESSIONS: readonly Scenario[] = [
  {
    title: "In and NotIn; what lacks the label is not in",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchExpressions: [{key: app, operator: In, values: [ledger, batch]}]}
        ingress:
          - fromEndpoints: [{matchExpressions: [{key: tier, operator: NotIn, values: [web, db]}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/batch TCP/1 = allowed
      demo/ledger <- demo/plain TCP/1 = allowed
      demo/ledger <- demo/frontend TCP/1 = dropped policy-denied
      demo/batch <- demo/ledger TCP/1 = dropped policy-denied
      demo/frontend <- demo/ledger TCP/1 = allowed
      demo/ledger <- world TCP/1 = dropped policy-denied
      demo/ledger <- demo/ghost TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "Exists and DoesNotExist",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchExpressions: [{key: tier, operator: Exists}]}
        ingress:
          - from: [{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/plain TCP/1 = allowed
      demo/ledger <- demo/watched TCP/1 = allowed
      demo/ledger <- demo/batch TCP/1 = dropped policy-denied
      demo/plain <- demo/batch TCP/1 = allowed
      demo/ledger <- tools/probe TCP/1 = dropped policy-denied
      demo/ledger <- host TCP/1 = allowed
      demo/ledger <- remote-node TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "All requirements of one selector hold, labels and expressions",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toEndpoints:
              - matchLabels: {app: frontend}
                matchExpressions:
                  - {key: "any:tier", operator: In, values: [web]}
                  - {key: "k8s:io.kubernetes.pod.namespace", operator: NotIn, values: [shop]}
        `,
      ),
    ],
    checks: `
      demo/ledger -> demo/frontend TCP/1 = allowed
      demo/ledger -> shop/frontend TCP/1 = dropped policy-denied
      demo/ledger -> demo/batch TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "NetworkPolicy: expressions over namespaces",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress:
          - from:
              - namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}
              - namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [shop, sales]}]}
                podSelector: {matchExpressions: [{key: tier, operator: Exists}]}
        `,
      ),
    ],
    checks: `
      demo/ledger <- tools/probe TCP/1 = allowed
      demo/ledger <- shop/frontend TCP/1 = allowed
      demo/ledger <- shop/forger TCP/1 = dropped policy-denied
      demo/ledger <- demo/frontend TCP/1 = dropped policy-denied
      demo/ledger <- world TCP/1 = dropped policy-denied
    `,
  },
  {
    title: "Sources: k8s and any say the same of pods, a bare key too",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {"k8s:app": ledger}}
        ingress:
          - fromEndpoints: [{matchLabels: {"k8s:app": frontend}}, {matchLabels: {"any:app": batch}}, {matchLabels: {app: watched}}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/1 = allowed
      demo/ledger <- demo/batch TCP/1 = allowed
      demo/ledger <- demo/watched TCP/1 = allowed
      demo/ledger <- demo/plain TCP/1 = dropped policy-denied
    `,
  },
];

export const SPECS: readonly Scenario[] = [
  {
    title: "Every spec of a list applies to those whom it selects",
    policies: [
      ciliumSpecs(
        "demo/all",
        `
        - endpointSelector: {matchLabels: {app: ledger}}
          ingress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]
        - endpointSelector: {matchLabels: {app: ledger}}
          ingress: [{fromEndpoints: [{matchLabels: {app: batch}}], toPorts: [{ports: [{port: "5432", protocol: TCP}]}]}]
          ingressDeny: [{toPorts: [{ports: [{port: "22", protocol: TCP}]}]}]
        - endpointSelector: {matchLabels: {app: batch}}
          egress: [{toEndpoints: [{matchLabels: {app: ledger}}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/80 = allowed by specs[0].ingress[0]
      demo/ledger <- demo/batch TCP/5432 = allowed by specs[1].ingress[0]
      demo/ledger <- demo/batch TCP/80 = dropped policy-denied
      demo/ledger <- demo/frontend TCP/22 = dropped policy-deny-rule by specs[1].ingressDeny[0]
      demo/batch -> demo/ledger TCP/5432 = allowed by specs[2].egress[0]
      demo/batch -> world TCP/443 = dropped policy-denied
      demo/ledger -> world TCP/443 = allowed
    `,
  },
  {
    title: "A spec and a list of specs in one document: all apply",
    policies: [
      ciliumPolicy(
        "demo/both",
        "endpointSelector: {matchLabels: {app: ledger}}\ningress: [{fromEntities: [world]}]",
      ).concat(
        "specs:\n  - endpointSelector: {matchLabels: {app: ledger}}\n    ingress: [{fromEntities: [remote-node]}]\n",
      ),
    ],
    checks: `
      demo/ledger <- world TCP/80 = allowed by ingress[0]
      demo/ledger <- remote-node TCP/80 = allowed by specs[0].ingress[0]
      demo/ledger <- demo/frontend TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "Policies of different kinds add up",
    policies: [
      networkPolicy(
        "demo/web",
        "podSelector: {matchLabels: {app: ledger}}\ningress: [{from: [{podSelector: {matchLabels: {app: frontend}}}]}]",
      ),
      ciliumPolicy(
        "demo/batch",
        "endpointSelector: {matchLabels: {app: ledger}}\ningress: [{fromEndpoints: [{matchLabels: {app: batch}}]}]",
      ),
      clusterwidePolicy("probes", "endpointSelector: {}\ningress: [{fromEndpoints: [{matchLabels: {app: probe}}]}]"),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/1 = allowed by NetworkPolicy/demo/web ingress[0]
      demo/ledger <- demo/batch TCP/1 = allowed by CiliumNetworkPolicy/demo/batch ingress[0]
      demo/ledger <- tools/probe TCP/1 = allowed by CiliumClusterwideNetworkPolicy/probes ingress[0]
      demo/ledger <- demo/plain TCP/1 = dropped policy-denied
      shop/frontend <- demo/frontend TCP/1 = dropped policy-denied
      shop/frontend <- tools/probe TCP/1 = allowed
    `,
  },
  {
    title: "A packet between two pods is judged at both, each end by its own policies",
    policies: [
      ciliumPolicy(
        "demo/out",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        egress:
          - toEndpoints: [{matchLabels: {app: ledger}}]
            toPorts: [{ports: [{port: "5432", endPort: 5440, protocol: TCP}]}]
        `,
      ),
      ciliumPolicy(
        "demo/in",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints: [{matchLabels: {app: frontend}}]
            toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
        `,
      ),
    ],
    checks: `
      demo/frontend -> demo/ledger TCP/5432 = allowed
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/frontend -> demo/ledger TCP/5433 = allowed
      demo/ledger <- demo/frontend TCP/5433 = dropped policy-denied
      demo/frontend -> demo/ledger TCP/80 = dropped policy-denied
      demo/frontend -> osaka:demo/ledger TCP/5432 = dropped policy-denied
    `,
  },
];
