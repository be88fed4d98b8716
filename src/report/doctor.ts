/** Judges a node by what was read of it, and prints that. */
import type { Finding, NodeFacts } from "../model/doctor.ts";
import { safeText, table } from "./text.ts";

/** The first with bpf_set_retval, which the socket programs call. */
const OLDEST: Version = [5, 18];
/** tcx: links at devices. */
const TCX: Version = [6, 6];
/** Bits of CapEff: what the agent's calls need. */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 } as const;
/** Connections that the kernel's own tracking should have room for. */
const LEAST_CONNTRACK = 65_536;
const CONNTRACK_FULL = 0.8;
const STRICT = "1";

type Version = readonly [major: number, minor: number];

export const SYSCTLS = [
  ...["ipv4", "ipv6"].map((family) => `net.${family}.neigh.default.gc_thresh3`),
  "net.ipv4.conf.all.rp_filter",
  "net.ipv4.conf.default.rp_filter",
  "net.ipv4.ip_forward",
  "net.netfilter.nf_conntrack_max",
  "net.netfilter.nf_conntrack_count",
] as const;

/** In the order in which they should be mended. */
export function judgeNode(facts: NodeFacts): readonly Finding[] {
  return [
    kernel(facts),
    btf(facts),
    libbpf(facts),
    capabilities(facts),
    bpffs(facts),
    cgroup2(facts),
    snapshots(facts),
    ...["ipv4", "ipv6"].map((family) => neighbours(facts, family)),
    reversePath(facts),
    forwarding(facts),
    conntrack(facts),
  ];
}

export const hasFailed = (findings: readonly Finding[]): boolean =>
  findings.some(({ verdict }) => verdict === "failed");

export function doctorText(findings: readonly Finding[]): string {
  const rows = findings.map(({ check, verdict, detail }) => [check, verdict, safeText(detail)]);
  const mends = findings.filter(({ mend }) => mend !== undefined).map(({ check, mend = "" }) => `! ${check}: ${mend}`);
  return [table(["CHECK", "VERDICT", "FOUND"], rows), ...mends].join("\n");
}

const ok = (check: string, detail: string): Finding => ({ check, verdict: "ok", detail });
const warning = (check: string, detail: string, mend: string): Finding => ({ check, verdict: "warning", detail, mend });
const failed = (check: string, detail: string, mend: string): Finding => ({ check, verdict: "failed", detail, mend });

function kernel({ kernelRelease }: NodeFacts): Finding {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(kernelRelease) ?? [];
  if (major === undefined)
    return warning("kernel", kernelRelease, "its version is not understood: look it up yourself");
  const found: Version = [Number(major), Number(minor)];
  if (before(found, OLDEST)) return failed("kernel", kernelRelease, `boot a kernel of ${OLDEST.join(".")} or later`);
  if (before(found, TCX)) return ok("kernel", `${kernelRelease}, without tcx: clsact filters are used`);
  return ok("kernel", kernelRelease);
}

const before = (left: Version, right: Version): boolean =>
  left[0] < right[0] || (left[0] === right[0] && left[1] < right[1]);

function btf({ btf: found }: NodeFacts): Finding {
  if (found) return ok("btf", "/sys/kernel/btf/vmlinux");
  return failed("btf", "no /sys/kernel/btf/vmlinux", "boot a kernel with CONFIG_DEBUG_INFO_BTF=y");
}

function libbpf({ libbpfFault }: NodeFacts): Finding {
  if (libbpfFault === undefined) return ok("libbpf", "it can be loaded");
  return failed("libbpf", libbpfFault, "apt-get install libbpf1");
}

function capabilities({ capabilities: hex }: NodeFacts): Finding {
  if (hex === undefined || !/^[0-9a-f]{1,16}$/i.test(hex)) {
    return warning("capabilities", "not known", "run it on the node, as root");
  }
  const held = BigInt(`0x${hex}`);
  const missing = Object.entries(CAPABILITIES).filter(([, bit]) => ((held >> BigInt(bit)) & 1n) === 0n);
  const names = missing.map(([name]) => name).join(", ");
  if (missing.length === 0) return ok("capabilities", Object.keys(CAPABILITIES).join(", "));
  return failed("capabilities", `without ${names}`, `run it as root; in a container, add ${names}`);
}

function bpffs({ pinFault, pinFolder }: NodeFacts): Finding {
  if (pinFault === undefined) return ok("bpffs", pinFolder);
  return failed("bpffs", pinFault, `mkdir -p ${pinFolder} && mount -t bpf bpf ${pinFolder}`);
}

function cgroup2({ cgroup2: mount }: NodeFacts): Finding {
  if (mount !== undefined) return ok("cgroup2", mount);
  return failed(
    "cgroup2",
    "not mounted",
    "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1",
  );
}

function snapshots({ snapshotFault, snapshotFolder }: NodeFacts): Finding {
  if (snapshotFault === undefined) return ok("snapshots", snapshotFolder);
  const mend = `mkdir -p ${snapshotFolder} on a disk that outlives a boot: without it, a boot needs an etcd`;
  return warning("snapshots", snapshotFault, mend);
}

/** Where all addresses are on one link the kernel keeps a neighbour for each that is talked to; beyond the limit packets are lost. */
function neighbours({ sysctls, addresses }: NodeFacts, family: string): Finding {
  const name = `net.${family}.neigh.default.gc_thresh3`;
  const check = `neighbours ${family}`;
  const limit = numberOf(sysctls[name]);
  if (limit === undefined) return ok(check, `no ${name}: this family is off`);
  const found = `${name} = ${limit}, ${addresses} addresses are known`;
  if (limit >= addresses) return ok(check, found);
  const names = [1, 2, 3].map((number) => `net.${family}.neigh.default.gc_thresh${number}`);
  const values = [addresses, 2 * addresses, 4 * addresses];
  return warning(check, found, `sysctl -w ${names.map((one, index) => `${one}=${values[index]}`).join(" ")}`);
}

function reversePath({ sysctls }: NodeFacts): Finding {
  const names = ["net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter"];
  const strict = names.filter((name) => sysctls[name] === STRICT);
  if (strict.length === 0)
    return ok("rp_filter", names.map((name) => `${name} = ${sysctls[name] ?? "none"}`).join(", "));
  const mend = `sysctl -w ${strict.map((name) => `${name}=2`).join(" ")}: answers that come back another way are dropped`;
  return warning("rp_filter", `${strict.join(", ")} = ${STRICT} (strict)`, mend);
}

function forwarding({ sysctls }: NodeFacts): Finding {
  const name = "net.ipv4.ip_forward";
  if (sysctls[name] === "1") return ok("forwarding", `${name} = 1`);
  const mend = `sysctl -w ${name}=1, if pods of this node are routed by it`;
  return warning("forwarding", `${name} = ${sysctls[name] ?? "none"}`, mend);
}

function conntrack({ sysctls }: NodeFacts): Finding {
  const name = "net.netfilter.nf_conntrack_max";
  const most = numberOf(sysctls[name]);
  if (most === undefined) return ok("conntrack", "the kernel's own connection tracking is not loaded");
  const used = numberOf(sysctls["net.netfilter.nf_conntrack_count"]) ?? 0;
  const found = `${name} = ${most}, ${used} used`;
  const mend = `sysctl -w ${name}=${Math.max(2 * most, LEAST_CONNTRACK * 4)}`;
  if (used >= most) return failed("conntrack", `${found}: full, new connections are dropped`, mend);
  return most < LEAST_CONNTRACK || used > most * CONNTRACK_FULL
    ? warning("conntrack", found, mend)
    : ok("conntrack", found);
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
