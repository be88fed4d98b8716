/** A node with two pods in network namespaces of the bench's own, joined by routed veths; all of it goes away again. */
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
}

export class BenchStage {
  readonly #name = `bulkhead-bench-${process.pid}`;
  readonly #folder = mkdtempSync(join(tmpdir(), `${this.#name}-`));
  readonly node = `${this.#name}-node`;
  readonly client: Pod = { netns: `${this.#name}-client`, device: "pod1", address: "10.9.1.2" };
  readonly server: Pod = { netns: `${this.#name}-server`, device: "pod2", address: "10.9.2.2" };
  /** On a BPF file system of our own. */
  readonly pins = join(this.#folder, "bpf", "pins");

  constructor() {
    if (process.getuid?.() !== 0) throw new UserError("bench: needs root (namespaces, eBPF); run it with sudo");
    process.once("exit", this.close);
    mkdirSync(join(this.#folder, "bpf"));
    run("mount", "-t", "bpf", "bpf", join(this.#folder, "bpf"));
    for (const netns of [this.node, this.client.netns, this.server.netns]) {
      run("ip", "netns", "add", netns);
      run("ip", "-n", netns, "link", "set", "lo", "up");
    }
    run(...inNetns(this.node, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"));
    for (const pod of [this.client, this.server]) this.#join(pod);
  }

  #join({ netns, device, address }: Pod): void {
    const gateway = address.replace(/2$/, "1");
    run("ip", "-n", this.node, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", netns);
    run("ip", "-n", this.node, "addr", "add", `${gateway}/24`, "dev", device);
    run("ip", "-n", this.node, "link", "set", device, "up");
    run("ip", "-n", netns, "addr", "add", `${address}/24`, "dev", "eth0");
    run("ip", "-n", netns, "link", "set", "eth0", "up");
    run("ip", "-n", netns, "route", "add", "default", "via", gateway);
  }

  readonly close = (): void => {
    process.removeListener("exit", this.close);
    for (const netns of [this.client.netns, this.server.netns, this.node])
      quietly(() => run("ip", "netns", "del", netns));
    quietly(() => run("umount", join(this.#folder, "bpf")));
    quietly(() => rmSync(this.#folder, { recursive: true }));
  };
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
