/** For tests and benches: a packet through a tc program without a device, and what programs cost while they run. */
import assert from "node:assert/strict";
import { closeSync, readFileSync } from "node:fs";
import type { LoadedObject } from "./door.ts";
import { LibbpfObject } from "./libbpf.ts";
import { addressOf, checked, libbpf } from "./library.ts";

const OPTIONS_BYTES = 80;
const SK_BUFF_BYTES = 192;
/** What a program may put before or behind a packet. */
const GROWTH_BYTES = 512;
const STATS_RUN_TIME = 0;

export interface TestPacket {
  /** From the Ethernet header on, at least 14 bytes. */
  readonly packet: Uint8Array;
  /** Of a device in the caller's network namespace; 1 (absent: this) is the loopback. */
  readonly ifindex?: number;
  /** Of the device through which the packet came into the namespace; absent: it was made there. */
  readonly ingressIfindex?: number;
  readonly repeat?: number;
}

export interface TestResult {
  /** What the program returned: 0 TC_ACT_OK, 2 TC_ACT_SHOT, 7 TC_ACT_REDIRECT, -1 (as 4294967295) the next program decides. */
  readonly verdict: number;
  /** As it came out of the last run. */
  readonly packet: Uint8Array;
  /** Mean of the runs. */
  readonly durationNs: number;
}

function programFd(object: LoadedObject, program: string): number {
  assert(object instanceof LibbpfObject, "only the kernel runs programs");
  const found = object.programs().find(({ name }) => name === program);
  assert(found !== undefined, `the object holds no program ${program}`);
  return found.fd;
}

/** Buffers that a struct names by address only: while they are here no collection takes them. */
const inUse = new Set<Uint8Array>();

/** Runs a program of the object. Throws a KernelError: 19 (ENODEV) when there is no such device. */
export function testRun(object: LoadedObject, program: string, run: TestPacket): TestResult {
  const out = Buffer.alloc(run.packet.length + GROWTH_BYTES);
  const context = skBuff(run.ifindex ?? 1, run.ingressIfindex ?? 0);
  const options = Buffer.alloc(OPTIONS_BYTES);
  options.writeBigUInt64LE(BigInt(OPTIONS_BYTES), 0);
  options.writeBigUInt64LE(addressOf(run.packet), 8);
  options.writeBigUInt64LE(addressOf(out), 16);
  options.writeUInt32LE(run.packet.length, 24);
  options.writeUInt32LE(out.length, 28);
  options.writeBigUInt64LE(addressOf(context), 32);
  options.writeUInt32LE(context.length, 48);
  options.writeUInt32LE(run.repeat ?? 1, 60);
  const buffers = [run.packet, out, context];
  for (const buffer of buffers) inUse.add(buffer);
  const result = libbpf().testRun(programFd(object, program), options);
  for (const buffer of buffers) inUse.delete(buffer);
  checked(`running ${program}`, result);
  return {
    verdict: options.readUInt32LE(56),
    packet: new Uint8Array(out.subarray(0, options.readUInt32LE(28))),
    durationNs: options.readUInt32LE(64),
  };
}

/** struct __sk_buff with the fields that the kernel lets a caller set. */
function skBuff(ifindex: number, ingressIfindex: number): Buffer {
  const context = Buffer.alloc(SK_BUFF_BYTES);
  context.writeUInt32LE(ingressIfindex, 36);
  context.writeUInt32LE(ifindex, 40);
  return context;
}

export interface ProgramStats {
  readonly name: string;
  /** While the action ran; test runs do not count. */
  readonly runs: number;
  readonly nanoseconds: number;
}

/**
 * What the object's programs did while `action` ran, in the order of the source. Attached ones only when this object attached them: an attachment
 * that was found unchanged runs the program of a process before. Being timed costs each run some 20 ns.
 */
export async function programStats(
  object: LoadedObject,
  action: () => Promise<void>,
): Promise<readonly ProgramStats[]> {
  assert(object instanceof LibbpfObject, "only the kernel runs programs");
  const programs = object.programs();
  const timing = checked("timing programs", libbpf().enableStats(STATS_RUN_TIME));
  try {
    const before = programs.map(({ fd }) => counters(fd));
    await action();
    return programs.map(({ name, fd }, index) => {
      const { runs, nanoseconds } = counters(fd);
      const start = before[index] ?? { runs: 0, nanoseconds: 0 };
      return { name, runs: runs - start.runs, nanoseconds: nanoseconds - start.nanoseconds };
    });
  } finally {
    closeSync(timing);
  }
}

function counters(programFd: number): { readonly runs: number; readonly nanoseconds: number } {
  const text = readFileSync(`/proc/self/fdinfo/${programFd}`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  return { runs: field("run_cnt"), nanoseconds: field("run_time_ns") };
}
