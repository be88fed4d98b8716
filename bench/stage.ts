/** A node with pods in network namespaces of the bench's own, joined by routed veths; all of it goes away again. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../src/runtime/user-error.ts";

export interface Pod {
  readonly netns: string;
  /** Host side, in the node's namespace. */
  readonly device: string;
  readonly address: string;
  readonly address6: string;
}

export class BenchStage {
  readonly #name = `bulkhead-bench-${process.pid}`;
  readonly folder = mkdtempSync(join(tmpdir(), `${this.#name}-`));
  readonly node = `${this.#name}-node`;
  readonly #pods: Pod[] = [];
  readonly client: Pod;
  readonly server: Pod;
  /** On a BPF file system of our own. */
  readonly pins = join(this.folder, "bpf", "pins");

  constructor() {
    if (process.getuid?.() !== 0) throw new UserError("bench: needs root (namespaces, eBPF); run it with sudo");
    process.once("exit", this.close);
    mkdirSync(join(this.folder, "bpf"));
    run("mount", "-t", "bpf", "bpf", join(this.folder, "bpf"));
    addNetns(this.node);
    run(...inNetns(this.node, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"));
    run(...inNetns(this.node, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"));
    this.client = this.addPod("client");
    this.server = this.addPod("server");
  }

  addPod(name: string): Pod {
    const number = this.#pods.length + 1;
    const addresses = { address: `10.9.${number}.2`, address6: `fd09:${number}::2` };
    const pod: Pod = { netns: `${this.#name}-${name}`, device: `pod${number}`, ...addresses };
    this.#pods.push(pod);
    addNetns(pod.netns);
    this.#join(pod);
    return pod;
  }

  #join({ netns, device, address, address6 }: Pod): void {
    const gateway = address.replace(/2$/, "1");
    const gateway6 = address6.replace(/2$/, "1");
    run("ip", "-n", this.node, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", netns);
    run("ip", "-n", this.node, "addr", "add", `${gateway}/24`, "dev", device);
    run("ip", "-n", this.node, "link", "set", device, "up");
    run("ip", "-n", netns, "addr", "add", `${address}/24`, "dev", "eth0");
    run("ip", "-n", netns, "link", "set", "eth0", "up");
    run("ip", "-n", netns, "route", "add", "default", "via", gateway);
    run("ip", "-n", this.node, "addr", "add", `${gateway6}/64`, "dev", device, "nodad");
    run("ip", "-n", netns, "addr", "add", `${address6}/64`, "dev", "eth0", "nodad");
    run("ip", "-n", netns, "route", "add", "default", "via", gateway6);
  }

  readonly close = (): void => {
    process.removeListener("exit", this.close);
    for (const netns of [...this.#pods.map((pod) => pod.netns), this.node])
      quietly(() => run("ip", "netns", "del", netns));
    quietly(() => run("umount", join(this.folder, "bpf")));
    quietly(() => rmSync(this.folder, { recursive: true }));
  };
}

function addNetns(netns: string): void {
  run("ip", "netns", "add", netns);
  run("ip", "-n", netns, "link", "set", "lo", "up");
}

export function inNetns(netns: string, ...argv: string[]): [string, ...string[]] {
  return ["nsenter", `--net=/var/run/netns/${netns}`, ...argv];
}

/** Runs a program that must succeed; returns its standard output. */
export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000, encoding: "utf8" });
}

function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // What was never made need not go.
  }
}
