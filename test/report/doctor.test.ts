import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeFacts } from "../../src/model/doctor.ts";
import { doctorText, hasFailed, judgeNode } from "../../src/report/doctor.ts";

const GOOD: NodeFacts = {
  kernelRelease: "6.8.0-45-generic",
  capabilities: "000001ffffffffff",
  btf: true,
  pinFolder: "/sys/fs/bpf",
  cgroup2: "/sys/fs/cgroup",
  snapshotFolder: "/var/lib/bulkhead",
  sysctls: {
    "net.ipv4.neigh.default.gc_thresh3": "131072",
    "net.ipv6.neigh.default.gc_thresh3": "131072",
    "net.ipv4.conf.all.rp_filter": "2",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.ip_forward": "1",
    "net.netfilter.nf_conntrack_max": "262144",
    "net.netfilter.nf_conntrack_count": "12",
  },
  addresses: 100_000,
};

function bad(change: Partial<NodeFacts>, sysctls: Readonly<Record<string, string>> = {}): readonly string[] {
  const findings = judgeNode({ ...GOOD, ...change, sysctls: { ...GOOD.sysctls, ...sysctls } });
  return findings
    .filter(({ verdict }) => verdict !== "ok")
    .map(({ check, verdict, mend }) => `${check} ${verdict}: ${mend}`);
}

test("a good node: every check is ok, and nothing is to be done", () => {
  const findings = judgeNode(GOOD);
  assert.equal(findings.length, 12);
  assert.deepEqual(bad({}), []);
  assert.equal(hasFailed(findings), false);
  assert.doesNotMatch(doctorText(findings), /!/);
});

for (const [what, change, sysctls, said] of [
  ["an old kernel", { kernelRelease: "4.19.0" }, {}, "kernel failed: boot a kernel of 5.18 or later"],
  ["a kernel whose minor is old", { kernelRelease: "5.17.15" }, {}, "kernel failed: boot a kernel of 5.18 or later"],
  ["a version nobody understands", { kernelRelease: "next" }, {}, /^kernel warning/],
  ["no BTF", { btf: false }, {}, /^btf failed: boot a kernel with CONFIG_DEBUG_INFO_BTF/],
  ["no libbpf", { libbpfFault: "cannot be loaded" }, {}, /^libbpf failed: apt-get install libbpf1$/],
  [
    "an ordinary user",
    { capabilities: "0000000000000000" },
    {},
    /^capabilities failed: .*CAP_NET_ADMIN, CAP_SYS_ADMIN$/,
  ],
  ["one capability missing", { capabilities: "000001ffffdfffff" }, {}, /add CAP_SYS_ADMIN$/],
  ["capabilities that are no number", { capabilities: "zz" }, {}, /^capabilities warning/],
  ["no bpffs", { pinFault: "not on one" }, {}, /^bpffs failed: .*mount -t bpf bpf \/sys\/fs\/bpf$/],
  ["no snapshots", { snapshotFault: "ENOENT" }, {}, /^snapshots warning: mkdir -p \/var\/lib\/bulkhead/],
  [
    "fewer neighbours than addresses",
    {},
    { "net.ipv4.neigh.default.gc_thresh3": "1024" },
    "neighbours ipv4 warning: sysctl -w net.ipv4.neigh.default.gc_thresh1=100000 net.ipv4.neigh.default.gc_thresh2=200000 net.ipv4.neigh.default.gc_thresh3=400000",
  ],
  [
    "a strict rp_filter",
    {},
    { "net.ipv4.conf.all.rp_filter": "1" },
    /^rp_filter warning: sysctl -w net.ipv4.conf.all.rp_filter=2/,
  ],
  ["no forwarding", {}, { "net.ipv4.ip_forward": "0" }, /^forwarding warning/],
  ["conntrack full", {}, { "net.netfilter.nf_conntrack_count": "262144" }, /^conntrack failed: sysctl -w .*=524288$/],
  ["conntrack nearly full", {}, { "net.netfilter.nf_conntrack_count": "250000" }, /^conntrack warning/],
  ["a small conntrack", {}, { "net.netfilter.nf_conntrack_max": "8192" }, /^conntrack warning: .*=262144$/],
] as const) {
  test(`${what} is found, alone, with its mend`, () => {
    const lines = bad(change, sysctls);
    assert.equal(lines.length, 1, lines.join("\n"));
    if (typeof said === "string") assert.equal(lines[0], said);
    else assert.match(lines[0] ?? "", said);
  });
}

test("no cgroup2 is found", () => {
  const { cgroup2: _, ...without } = GOOD;
  const findings = judgeNode(without);
  assert.equal(hasFailed(findings), true);
  assert.match(doctorText(findings), /^! cgroup2: mount -t cgroup2/m);
});

test("what a kernel does not have is no fault: conntrack that is not loaded, IPv6 that is off", () => {
  const { "net.netfilter.nf_conntrack_max": _, "net.ipv6.neigh.default.gc_thresh3": __, ...sysctls } = GOOD.sysctls;
  assert.deepEqual(
    judgeNode({ ...GOOD, sysctls }).filter(({ verdict }) => verdict !== "ok"),
    [],
  );
});
