// The lab's pods: these cases are judged four ways, as e2e/policy.test.ts sends every one of them as a real packet.
import type { Scenario } from "./case.ts";
import { ciliumPolicy, clusterwidePolicy, networkPolicy } from "./documents.ts";
import { labMesh, labPolicies } from "./lab-world.ts";

const ECHO_REQUESTS = "{fields: [{family: IPv4, type: EchoRequest}, {family: IPv6, type: EchoRequest}]}";

export const LAB: readonly Scenario[] = [
  {
    title: "The tour's ledger: one workload of one other cluster, by a named port",
    mesh: labMesh("osaka-2"),
    policies: labPolicies("osaka"),
    checks: `
      demo/ledger <- amsterdam:demo/frontend TCP/8080 = allowed by ingress[0]
      demo/ledger <- amsterdam:demo/frontend UDP/8080 = dropped policy-denied
      demo/ledger <- amsterdam:demo/frontend PING = dropped policy-denied
      demo/ledger <- amsterdam:shop/payer TCP/8080 = dropped policy-denied
      demo/ledger <- demo/client TCP/8080 = dropped policy-denied
      demo/ledger <- virginia:demo/client TCP/8080 = dropped policy-denied
      demo/ledger <- host TCP/8080 = allowed
      demo/ledger <- remote-node PING = dropped policy-denied
    `,
  },
  {
    title: "Egress: another cluster's named port, a UDP port, CIDRs with holes, an entity",
    mesh: labMesh("amsterdam-1"),
    policies: [
      ciliumPolicy(
        "demo/client",
        `
        endpointSelector: {matchLabels: {app: client}}
        egress:
          - toEndpoints: [{matchLabels: {app: hello, "k8s:io.cilium.k8s.policy.cluster": osaka}}]
            toPorts: [{ports: [{port: http, protocol: TCP}]}]
          - toEndpoints: [{matchLabels: {app: till}}]
            toPorts: [{ports: [{port: "8000", endPort: 8090, protocol: UDP}]}]
          - toCIDRSet:
              - {cidr: 203.0.113.0/24, except: [203.0.113.64/26]}
              - {cidr: "2001:db8::/32", except: ["2001:db8:bad::/48"]}
          - toEntities: [remote-node]
            icmps: [${ECHO_REQUESTS}]
        `,
      ),
    ],
    checks: `
      demo/client -> osaka:demo/hello-1 TCP/8080 = allowed by egress[0]
      demo/client -> osaka:demo/hello-1 UDP/8080 = dropped policy-denied
      demo/client -> osaka:demo/ledger TCP/8080 = dropped policy-denied
      demo/client -> virginia:demo/hello-1 TCP/8080 = dropped policy-denied
      demo/client -> demo/hello-2 TCP/8080 = dropped policy-denied
      demo/client -> demo/till UDP/8080 = allowed by egress[1]
      demo/client -> demo/till TCP/8080 = dropped policy-denied
      demo/client -> world TCP/8080 = allowed by egress[2]
      demo/client -> world UDP/8080 = allowed by egress[2]
      demo/client -> hole TCP/8080 = dropped policy-denied
      demo/client -> elsewhere UDP/8080 = dropped policy-denied
      demo/client -> remote-node PING = allowed by egress[3]
      demo/client -> far-node PING = allowed by egress[3]
      demo/client -> remote-node TCP/8080 = dropped policy-denied
      demo/client -> host PING = dropped policy-denied
      demo/client -> unknown TCP/8080 = dropped identity-unknown
      demo/client -> far-unknown UDP/8080 = dropped identity-unknown
      demo/client <- osaka:demo/client PING = allowed
    `,
  },
  {
    title: "Kubernetes: namespaces and pods by label, a range of ports, the own cluster only",
    mesh: labMesh("amsterdam-2"),
    policies: [
      networkPolicy(
        "demo/till",
        `
        podSelector: {matchLabels: {tier: db}}
        ingress:
          - from:
              - namespaceSelector: {matchLabels: {team: shop}}
                podSelector: {matchExpressions: [{key: tier, operator: In, values: [web, job]}]}
            ports: [{port: http}]
          - from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [frontend, hello]}]}}]
            ports: [{port: 8000, endPort: 8090, protocol: UDP}]
        `,
      ),
    ],
    checks: `
      demo/till <- shop/payer TCP/8080 = allowed by ingress[0]
      demo/till <- shop/payer UDP/8080 = dropped policy-denied
      demo/till <- demo/client UDP/8080 = allowed by ingress[1]
      demo/till <- demo/client TCP/8080 = dropped policy-denied
      demo/till <- demo/frontend UDP/8080 = dropped policy-denied
      demo/till <- osaka:shop/payer TCP/8080 = dropped policy-denied
      demo/till <- virginia:demo/client UDP/8080 = dropped policy-denied
      demo/till <- remote-node TCP/8080 = dropped policy-denied
      demo/till <- host PING = allowed
    `,
  },
  {
    title: "Deny rules win: by workload and port, from the world, by the kind of a message",
    mesh: labMesh("amsterdam-2"),
    policies: [
      clusterwidePolicy(
        "tills",
        `
        endpointSelector: {matchLabels: {app: till}}
        ingress: [{fromEntities: [all]}]
        ingressDeny:
          - fromEndpoints: [{matchLabels: {app: client}}]
            toPorts: [{ports: [{port: "8080", protocol: TCP}]}]
          - fromCIDR: [203.0.113.0/24, "2001:db8::/32"]
          - fromEntities: [remote-node]
            icmps: [${ECHO_REQUESTS}]
        `,
      ),
    ],
    checks: `
      demo/till <- demo/client TCP/8080 = dropped policy-deny-rule by ingressDeny[0]
      demo/till <- demo/client UDP/8080 = allowed by ingress[0]
      demo/till <- demo/client PING = allowed
      demo/till <- osaka:demo/client TCP/8080 = allowed by ingress[0]
      demo/till <- world TCP/8080 = dropped policy-deny-rule by ingressDeny[1]
      demo/till <- world PING = dropped policy-deny-rule by ingressDeny[1]
      demo/till <- remote-node PING = dropped policy-deny-rule by ingressDeny[2]
      demo/till <- remote-node TCP/8080 = allowed by ingress[0]
    `,
  },
  {
    title: "A service account of one other cluster, in whatever namespace",
    mesh: labMesh("osaka-2"),
    policies: [
      ciliumPolicy(
        "demo/ledger",
        `
        endpointSelector: {matchExpressions: [{key: app, operator: In, values: [ledger]}]}
        ingress:
          - fromEndpoints:
              - matchLabels: {"k8s:io.cilium.k8s.policy.serviceaccount": payer}
                matchExpressions:
                  - {key: "k8s:io.kubernetes.pod.namespace", operator: Exists}
                  - {key: "k8s:io.cilium.k8s.policy.cluster", operator: In, values: [amsterdam, virginia]}
        `,
      ),
    ],
    checks: `
      demo/ledger <- amsterdam:shop/payer TCP/8080 = allowed by ingress[0]
      demo/ledger <- amsterdam:shop/payer PING = allowed by ingress[0]
      demo/ledger <- shop/payer TCP/8080 = dropped policy-denied
      demo/ledger <- amsterdam:demo/frontend TCP/8080 = dropped policy-denied
      demo/ledger <- virginia:demo/client UDP/8080 = dropped policy-denied
    `,
  },
  {
    title: "Audit: by pod and by policy; explicit denies still deny",
    mesh: labMesh("amsterdam-1"),
    policies: [
      ciliumPolicy(
        "demo/watched",
        `
        endpointSelector: {matchLabels: {app: watched}}
        ingress: [{}]
        ingressDeny: [{fromEndpoints: [{matchLabels: {app: client}}], icmps: [${ECHO_REQUESTS}]}]
        `,
      ),
      ciliumPolicy(
        "demo/hello",
        `
        endpointSelector: {matchLabels: {app: hello}}
        ingress: [{fromEndpoints: [{matchLabels: {app: frontend}}]}]
        `,
        true,
      ),
    ],
    checks: `
      demo/watched <- demo/client TCP/8080 = audited policy-denied
      demo/watched <- demo/client PING = dropped policy-deny-rule by CiliumNetworkPolicy/demo/watched ingressDeny[0]
      demo/watched <- osaka:demo/client UDP/8080 = audited policy-denied
      demo/hello-1 <- demo/frontend TCP/8080 = allowed by CiliumNetworkPolicy/demo/hello ingress[0]
      demo/hello-1 <- demo/client TCP/8080 = audited policy-denied
    `,
  },
  {
    title: "Deny everything of a namespace, both ways; its node still reaches it",
    mesh: labMesh("amsterdam-1"),
    policies: [networkPolicy("demo/nothing", "podSelector: {}\npolicyTypes: [Ingress, Egress]")],
    checks: `
      demo/client -> demo/till TCP/8080 = dropped policy-denied
      demo/client -> osaka:demo/hello-1 UDP/8080 = dropped policy-denied
      demo/client -> world TCP/8080 = dropped policy-denied
      demo/hello-1 <- osaka:demo/client TCP/8080 = dropped policy-denied
      demo/hello-1 <- world UDP/8080 = dropped policy-denied
      demo/hello-1 <- shop/payer PING = dropped policy-denied
      demo/hello-1 <- host TCP/8080 = allowed
    `,
  },
  {
    title: "The own cluster, its nodes and those of others, and no pods of others",
    mesh: labMesh("amsterdam-1"),
    policies: [
      clusterwidePolicy("hello", "endpointSelector: {matchLabels: {app: hello}}\ningress: [{fromEntities: [cluster]}]"),
    ],
    checks: `
      demo/hello-1 <- shop/payer TCP/8080 = allowed by ingress[0]
      demo/hello-1 <- remote-node PING = allowed by ingress[0]
      demo/hello-1 <- far-node TCP/8080 = allowed by ingress[0]
      demo/hello-1 <- osaka:demo/client TCP/8080 = dropped policy-denied
      demo/hello-1 <- virginia:demo/client PING = dropped policy-denied
      demo/hello-1 <- world TCP/8080 = dropped policy-denied
    `,
  },
];
