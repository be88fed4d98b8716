import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExplainAnswer, ExplainedDirection, ExplainedPeer, ExplainQuestion } from "../../src/model/explain.ts";
import { explain, explainText } from "../../src/report/explain.ts";

const question: ExplainQuestion = {
  from: { kind: "pod", cluster: "amsterdam", namespace: "demo", name: "scraper" },
  to: { kind: "pod", cluster: "osaka", namespace: "demo", name: "ledger" },
  port: { protocol: "TCP", port: 8080 },
};
const from: ExplainedPeer = {
  addresses: ["10.1.1.12"],
  identity: 65_540,
  labels: ["k8s:app=scraper", "k8s:io.cilium.k8s.policy.cluster=amsterdam"],
  cluster: "amsterdam",
  pod: "demo/scraper",
};
const to: ExplainedPeer = {
  addresses: ["10.2.1.10", "fd6c::10"],
  identity: 131_073,
  labels: ["k8s:app=ledger"],
  cluster: "osaka",
  pod: "demo/ledger",
};
const world: ExplainedPeer = {
  addresses: ["192.0.2.1"],
  identity: 9,
  labels: ["reserved:world-ipv4"],
  cluster: "",
  pod: "",
};
const allowed = { verdict: "allowed", reason: "forwarded" } as const;
const denied = { verdict: "dropped", reason: "policy-denied" } as const;
const RULE = "CiliumNetworkPolicy/demo/ledger ingress[0] (ledger.yaml:3)";

const egress: ExplainedDirection = {
  direction: "egress",
  endpoint: "demo/scraper",
  device: "podabc",
  enforcement: "open",
  peer: to,
  compiled: allowed,
  kernel: allowed,
  matching: [],
};
const ingress: ExplainedDirection = {
  direction: "ingress",
  endpoint: "demo/ledger",
  device: "poddef",
  enforcement: "enforced",
  peer: from,
  compiled: { ...allowed, rule: RULE },
  kernel: { ...allowed, rule: RULE },
  matching: [{ verdict: "allow", rule: RULE }],
};
const sender: ExplainAnswer = { cluster: "amsterdam", node: "amsterdam-1", from, to, directions: [egress] };
const receiver = (change: Partial<ExplainedDirection> = {}): ExplainAnswer => ({
  cluster: "osaka",
  node: "osaka-1",
  from,
  to,
  directions: [{ ...ingress, ...change }],
});
const bystander: ExplainAnswer = { cluster: "virginia", node: "virginia-1", from, to, directions: [] };

const outcome = (answers: readonly ExplainAnswer[], asked = question) => explain(asked, answers).outcome;

test("allowed is when both ends allow it, and both kernels agree", () => {
  assert.equal(outcome([receiver(), bystander, sender]), "allowed");
  assert.equal(outcome([sender, receiver({ compiled: denied, kernel: denied })]), "denied");
  const audited = { ...denied, verdict: "audited" } as const;
  assert.equal(outcome([sender, receiver({ compiled: audited, kernel: audited })]), "allowed");
});

test("a kernel that holds something else is never hidden by the verdict", () => {
  assert.equal(outcome([sender, receiver({ kernel: denied })]), "disagree");
  assert.equal(outcome([sender, receiver({ compiled: denied })]), "disagree");
  assert.equal(outcome([sender, receiver({ kernel: allowed })]), "disagree", "another rule");
});

test("an end that nobody answered for leaves the outcome unknown, but a denial is certain", () => {
  assert.equal(outcome([sender]), "unknown");
  const { kernel: _, ...unread } = ingress;
  assert.equal(outcome([sender, { ...receiver(), directions: [unread] }]), "unknown");
  assert.equal(outcome([receiver({ compiled: denied, kernel: denied })]), "denied");
  assert.deepEqual(explain(question, [sender]).notes, [
    "ingress of osaka/demo/ledger is not known: the agent of its node did not answer",
  ]);
  assert.deepEqual(explain(question, [{ cluster: "virginia", node: "virginia-1", directions: [] }]).notes, [
    "egress of amsterdam/demo/scraper is not known: no agent that answered knows it",
    "ingress of osaka/demo/ledger is not known: no agent that answered knows it",
  ]);
  const { from: _from, ...receiverAlone } = receiver();
  assert.deepEqual(explain(question, [{ ...receiverAlone, directions: [] }]).notes, [
    "egress of amsterdam/demo/scraper is not known: no agent that answered knows it",
    "ingress of osaka/demo/ledger is not known: no agent that answered knows amsterdam/demo/scraper",
  ]);
});

test("the world judges nothing: one direction is enough; of a pod named by its address it is not", () => {
  const asked: ExplainQuestion = { ...question, to: { kind: "address", address: "192.0.2.1" } };
  const out = { ...sender, to: world, directions: [{ ...egress, peer: world }] };
  assert.equal(outcome([out, { ...bystander, to: world }], asked), "allowed");
  assert.equal(outcome([sender], { ...question, to: { kind: "address", address: "10.2.1.10" } }), "unknown");
  const outside: ExplainQuestion = { ...asked, from: { kind: "address", address: "192.0.2.2" } };
  assert.deepEqual(explain(outside, [{ ...bystander, from: world, to: world }]).notes, [
    "neither end is a pod that an agent here knows",
  ]);
});

test("of a service's address nothing is said but whose it is", () => {
  const asked: ExplainQuestion = { ...question, to: { kind: "address", address: "10.101.0.10" } };
  const explained = explain(asked, [bystander, { ...sender, service: "demo/hello", directions: [] }]);
  assert.equal(explained.outcome, "unknown");
  assert.match(
    explainText(asked, explained),
    /^UNKNOWN: .*\n\n! 10\.101\.0\.10 is an address of the service demo\/hello: /,
  );
});

test("the text begins with the verdict, and names rule, file, identity, labels and cluster", () => {
  const text = explainText(question, explain(question, [receiver(), sender]));
  assert.equal(text.split("\n")[0], "ALLOWED: amsterdam/demo/scraper -> osaka/demo/ledger 8080/TCP");
  assert(text.indexOf("egress of amsterdam/demo/scraper") < text.indexOf("ingress of osaka/demo/ledger"));
  assert.match(text, /compiled {2}allowed: no policy in this direction/);
  assert.match(text, /peer {6}amsterdam\/demo\/scraper 10\.1\.1\.12 \(65540 app=scraper\)/);
  assert.match(text, /labels {4}k8s:app=scraper k8s:io\.cilium\.k8s\.policy\.cluster=amsterdam/);
  assert.match(text, /compiled {2}allowed by CiliumNetworkPolicy\/demo\/ledger ingress\[0\] \(ledger\.yaml:3\)/);
  assert.match(text, /rules that match:\n {4}allow {2}CiliumNetworkPolicy/);
  assert.doesNotMatch(text, /DISAGREE/);
});

test("a denial without a rule says so, and a disagreement stands out", () => {
  const text = explainText(question, explain(question, [sender, receiver({ compiled: denied, matching: [] })]));
  assert.match(text, /^DISAGREE: /);
  assert.match(text, /compiled {2}dropped policy-denied: no rule allows it\n {2}kernel {4}allowed by /);
  assert.match(text, /\n {2}DISAGREE {2}the kernel's maps/);
  assert.match(text, /rules {5}none matches/);
});

test("a stranger's labels cannot steer the terminal", () => {
  const peer = { ...from, labels: ["k8s:app=\u001b]0;x\u0007"] };
  const text = explainText(question, explain(question, [sender, receiver({ peer })]));
  assert.match(text, /app=\\u001b\]0;x\\u0007/);
});
