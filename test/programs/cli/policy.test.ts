import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { EndpointStatus } from "../../../src/model/endpoint.ts";
import { EXPLAIN_PATH, type ExplainAnswer, parseExplainQuery } from "../../../src/model/explain.ts";
import type { AgentStatus } from "../../../src/model/status.ts";
import type { Answer } from "../../../src/serve/routes.ts";
import { agent } from "../../report/status-examples.ts";
import { bulkhead, program } from "./command.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-policy-"));
});
after(() => rm(folder, { recursive: true }));

const endpoint = (pod: string): EndpointStatus => ({
  device: "pod1",
  ifindex: 7,
  addresses: ["10.2.1.10"],
  pod,
  identity: 131_073,
  ingress: "enforced",
  egress: "open",
  policies: ["CiliumNetworkPolicy/demo/ledger"],
});

const status = (cluster: string, ...pods: readonly string[]): AgentStatus => ({
  ...agent(`${cluster}-1`),
  cluster,
  endpoints: pods.map(endpoint),
  policies: [
    { name: "CiliumNetworkPolicy/demo/ledger", source: "ledger.yaml:3", audit: false, endpoints: pods.length },
  ],
});

/** Answers for the end that is a pod of its own cluster: port 1 is denied, port 2 is not what the kernel holds. */
const answers = (cluster: string): ReadonlyMap<string, Answer> => {
  const answer: Answer = (query): ExplainAnswer => {
    const question = parseExplainQuery(query, cluster);
    assert(question);
    const { from, to, port } = question;
    const known = (end: typeof from) => ({
      addresses: ["10.2.1.10"],
      identity: 65_540,
      labels: ["k8s:app=x"],
      cluster: end.kind === "pod" ? end.cluster : "",
      pod: end.kind === "pod" ? `${end.namespace}/${end.name}` : "",
    });
    const decided = {
      verdict: port.port === 1 ? "dropped" : "allowed",
      reason: port.port === 1 ? "policy-denied" : "forwarded",
    } as const;
    const direction = (name: "egress" | "ingress", own: typeof from, far: typeof from) => ({
      direction: name,
      endpoint: known(own).pod,
      device: "pod1",
      enforcement: "enforced" as const,
      peer: known(far),
      compiled: decided,
      kernel: port.port === 2 ? { verdict: "dropped" as const, reason: "policy-missing" as const } : decided,
      matching: [],
    });
    const mine = (end: typeof from) => end.kind === "pod" && end.cluster === cluster;
    const directions = [
      ...(mine(from) ? [direction("egress", from, to)] : []),
      ...(mine(to) ? [direction("ingress", to, from)] : []),
    ];
    return { cluster, node: `${cluster}-1`, from: known(from), to: known(to), directions };
  };
  return new Map([[EXPLAIN_PATH, answer]]);
};

test("explain asks both ends' agents; its exit code is the verdict", async (t) => {
  const runDir = join(folder, "explain");
  const amsterdam = status("amsterdam", "demo/scraper", "demo/twin");
  const served = [
    await program(runDir, "amsterdam/agent-amsterdam-1.sock", amsterdam, { answers: answers("amsterdam") }),
    await program(runDir, "osaka/agent-osaka-1.sock", status("osaka", "demo/ledger", "demo/twin"), {
      answers: answers("osaka"),
    }),
  ];
  t.after(() => Promise.all(served.map((one) => one.close())));
  const explain = (from: string, to: string, port: string, ...more: readonly string[]) =>
    bulkhead("policy", "explain", "--from", from, "--to", to, "--port", port, "--run-dir", runDir, ...more);

  const allowed = await explain("demo/scraper", "demo/ledger", "8080");
  assert.equal(allowed.code, 0);
  assert.match(
    allowed.out,
    /^ALLOWED: amsterdam\/demo\/scraper -> osaka\/demo\/ledger 8080\/TCP\n\negress of .*[\s\S]*\n\ningress of /,
  );
  const denied = await explain("demo/scraper", "osaka/demo/ledger", "1/udp");
  assert.equal(denied.code, 3);
  assert.match(denied.out, /^DENIED: .* 1\/UDP/);
  const disagreed = await explain("demo/scraper", "demo/ledger", "2");
  assert.equal(disagreed.code, 4);
  assert.match(disagreed.out, /DISAGREE {2}the kernel/);
  assert.equal((await explain("demo/scraper", "192.0.2.1", "8/icmp")).code, 0);
  const unknown = await explain("demo/scraper", "virginia/demo/far", "80");
  assert.equal(unknown.code, 4);
  assert.match(unknown.out, /! ingress of virginia\/demo\/far is not known/);
  const json = JSON.parse((await explain("demo/scraper", "demo/ledger", "1", "--json")).out);
  assert.equal(json.outcome, "denied");
  assert.equal(json.directions.length, 2);

  for (const [from, to, port, why] of [
    ["demo/twin", "demo/ledger", "80", /--from demo\/twin: is in amsterdam, osaka; write amsterdam\/demo\/twin/],
    ["demo/nobody", "demo/ledger", "80", /no agent that answered serves this pod/],
    ["ledger", "demo/ledger", "80", /--from ledger: write namespace\/pod/],
    ["demo/scraper", "demo/ledger", "http", /--port http: write a port/],
  ] as const) {
    const { code, err } = await explain(from, to, port);
    assert.equal(code, 2);
    assert.match(err, why);
    assert.equal(err.trimEnd().split("\n").length, 1);
  }
  assert.equal((await bulkhead("policy", "explain", "--run-dir", runDir)).code, 2);

  const list = await bulkhead("policy", "list", "--run-dir", runDir);
  assert.match(list.out, /osaka +CiliumNetworkPolicy\/demo\/ledger +enforced +osaka-1 2 +ledger\.yaml:3/);
});

const GOOD = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: demo}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: front}}}]
    ports: [{port: 80}]
`;
const BAD = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: dns, namespace: demo}
spec:
  endpointSelector: {}
  egress:
  - toFQDNs: [{matchName: example.org}]
`;

test("validate says what a file selects and what is wrong in it, without any program", async () => {
  const write = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const good = await write("good.yaml", GOOD);
  const bad = await write("bad.yaml", `${GOOD}---\n${BAD}`);
  const other = await write("other.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n");
  const fine = await bulkhead("policy", "validate", good, other);
  assert.equal(fine.code, 0);
  assert.match(
    fine.out,
    /good\.yaml:1: NetworkPolicy\/demo\/web\n {2}pods with .*k8s:app=web.*: ingress denied unless allowed, 1 allow rule; egress open/,
  );
  assert.match(fine.out, /other\.yaml: no policy in it; other documents: 1/);
  const mixed = await bulkhead("policy", "validate", good, bad, join(folder, "nowhere.yaml"));
  assert.equal(mixed.code, 2);
  assert.match(mixed.out, /^! .*bad\.yaml:\d+: .*toFQDNs/m);
  assert.match(
    mixed.out,
    /^! .*bad\.yaml:1: NetworkPolicy\/demo\/web: is already defined in .*good\.yaml:1; remove one/m,
  );
  assert.match(mixed.out, /^! .*nowhere\.yaml: ENOENT/m);
});
