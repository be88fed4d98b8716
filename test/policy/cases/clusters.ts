// Policy across clusters: whom a selector means that says, or does not say, a cluster.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, clusterwidePolicy, networkPolicy } from "./documents.ts";

const FROM_FRONTENDS = ciliumPolicy(
  "demo/ledger",
  `
  endpointSelector: {matchLabels: {app: ledger}}
  ingress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]
  `,
);

const KUBERNETES_FRONTENDS = networkPolicy(
  "demo/ledger",
  `
  podSelector: {matchLabels: {app: ledger}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {app: frontend}}}]}]
  egress: [{to: [{namespaceSelector: {matchLabels: {env: prod}}}]}]
  `,
);

export const CLUSTERS: readonly Scenario[] = [
  {
    title: "Without a word about clusters a selector means the own cluster",
    policies: [FROM_FRONTENDS],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- osaka:demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- virginia:demo/frontend UDP/53 = dropped policy-denied
      demo/ledger <- osaka:demo/frontend PING = dropped policy-denied
    `,
  },
  {
    title: "Set otherwise, it means every cluster",
    policies: [FROM_FRONTENDS],
    settings: { defaultLocalCluster: false },
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- osaka:demo/frontend TCP/5432 = allowed
      demo/ledger <- virginia:demo/frontend SCTP/3868 = allowed
      demo/ledger <- osaka:shop/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- osaka-unknown TCP/5432 = dropped identity-unknown
    `,
  },
  {
    title: "NetworkPolicy follows the same setting: own cluster",
    policies: [KUBERNETES_FRONTENDS],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- osaka:demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger -> shop/frontend TCP/80 = allowed
      demo/ledger -> osaka:shop/frontend TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "NetworkPolicy follows the same setting: every cluster",
    policies: [KUBERNETES_FRONTENDS],
    settings: { defaultLocalCluster: false },
    checks: `
      demo/ledger <- osaka:demo/frontend TCP/5432 = allowed
      demo/ledger -> osaka:shop/frontend TCP/80 = allowed
      demo/ledger -> virginia:tools/probe TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "One cluster by its label",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints:
              - matchLabels: {app: frontend, "k8s:io.cilium.k8s.policy.cluster": osaka}
        `,
      ),
    ],
    checks: `
      demo/ledger <- osaka:demo/frontend TCP/5432 = allowed by ingress[0]
      demo/ledger <- osaka:demo/frontend PING = allowed
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- virginia:demo/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- osaka:shop/frontend TCP/5432 = dropped policy-denied
      demo/ledger <- osaka:demo/ledger TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "One cluster, every namespace of it: both must be named",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress:
          - toEndpoints:
              - matchLabels: {io.cilium.k8s.policy.cluster: osaka}
                matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> osaka:demo/frontend TCP/80 = allowed
      demo/ledger -> osaka:shop/frontend UDP/80 = allowed
      demo/ledger -> virginia:tools/probe TCP/80 = dropped policy-denied
      demo/ledger -> demo/frontend TCP/80 = dropped policy-denied
      demo/ledger -> osaka-node TCP/80 = dropped policy-denied
      demo/ledger -> osaka-unknown TCP/80 = dropped identity-unknown
    `,
  },
  {
    title: "Any cluster, by Exists on the label",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        ingress:
          - fromEndpoints:
              - matchLabels: {app: frontend}
                matchExpressions: [{key: "k8s:io.cilium.k8s.policy.cluster", operator: Exists}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- demo/frontend TCP/5432 = allowed
      demo/ledger <- osaka:demo/frontend TCP/5432 = allowed
      demo/ledger <- virginia:demo/frontend TCP/5432 = allowed
      demo/ledger <- virginia:tools/probe TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "Every cluster but one",
    policies: [
      clusterwidePolicy(
        "frontends",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        ingress:
          - fromEndpoints:
              - matchExpressions: [{key: io.cilium.k8s.policy.cluster, operator: NotIn, values: [virginia]}]
        `,
      ),
    ],
    checks: `
      shop/frontend <- tools/probe TCP/80 = allowed
      shop/frontend <- osaka:demo/ledger TCP/80 = allowed
      shop/frontend <- virginia:tools/probe TCP/80 = dropped policy-denied
      shop/frontend <- world TCP/80 = dropped policy-denied
      shop/frontend <- osaka-node TCP/80 = dropped policy-denied
    `,
  },
  {
    title: "NetworkPolicy: a podSelector may name clusters",
    policies: [
      networkPolicy(
        "demo/ledger",
        `
        podSelector: {matchLabels: {app: ledger}}
        ingress:
          - from:
              - namespaceSelector: {}
                podSelector:
                  matchExpressions: [{key: io.cilium.k8s.policy.cluster, operator: In, values: [osaka, virginia]}]
        `,
      ),
    ],
    checks: `
      demo/ledger <- osaka:shop/frontend TCP/5432 = allowed
      demo/ledger <- virginia:tools/probe UDP/1 = allowed
      demo/ledger <- demo/frontend TCP/5432 = dropped policy-denied
    `,
  },
  {
    title: "Policies of a cluster say nothing about other clusters' pods, and absent peers mean everybody everywhere",
    policies: [networkPolicy("demo/ledger", "podSelector: {matchLabels: {app: ledger}}\ningress: [{}]")],
    checks: `
      demo/ledger <- osaka:shop/frontend TCP/5432 = allowed
      demo/ledger <- virginia:tools/probe PING = allowed
      demo/ledger <- world UDP/5432 = allowed
      demo/ledger <- osaka-unknown TCP/5432 = dropped identity-unknown
    `,
  },
  {
    title: "A deny across clusters",
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchLabels: {app: ledger}}
        egress: [{toEntities: [all]}]
        egressDeny: [{toEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: osaka}}]}]
        `,
      ),
    ],
    checks: `
      demo/ledger -> osaka:demo/frontend TCP/80 = dropped policy-deny-rule by egressDeny[0]
      demo/ledger -> osaka:shop/frontend TCP/80 = allowed
      demo/ledger -> virginia:demo/frontend TCP/80 = allowed
      demo/ledger -> demo/frontend TCP/80 = allowed
    `,
  },
  {
    title: "A pod's labels cannot forge a cluster",
    policies: [
      ciliumPolicy(
        "shop/frontend",
        `
        endpointSelector: {matchLabels: {app: frontend}}
        ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: osaka}}]}]
        `,
      ),
    ],
    checks: `
      shop/frontend <- shop/forger TCP/80 = dropped policy-denied
      shop/frontend <- osaka:shop/frontend TCP/80 = allowed
    `,
  },
];
