/**
 * A process that connects, over and over, and says how long connect() took. It asks the kernel itself (koffi): what a runtime puts around a socket would be most of
 * the time. One line in: how many connections; one line out: the median in nanoseconds, less what an empty call takes. A connection that fails ends it.
 */
import { createInterface } from "node:readline";
import koffi from "koffi";
import { parseAddress } from "../src/model/address.ts";
import { percentile } from "./goal-line.ts";

const [AF_INET, AF_INET6, SOCK_STREAM, SOL_SOCKET, SO_LINGER] = [2, 10, 1, 1, 13];
const V4_OFFSET = 12;

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int family, int type, int protocol)");
const connect = libc.func("int connect(int fd, void *address, uint32_t length)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, void *value, uint32_t length)");
const close = libc.func("int close(int fd)");
const getppid = libc.func("int getppid()");

interface Target {
  readonly address: string;
  readonly port: number;
  /** A socket of IPv6, also for an address of IPv4. */
  readonly v6: boolean;
}

/** Off at once and with a reset, so that no port waits. */
const LINGER = new Uint8Array(new Int32Array([1, 0]).buffer);

function sockaddr({ address, port, v6 }: Target): Buffer {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new RangeError(`not an address: ${address}`);
  const made = Buffer.alloc(v6 ? 28 : 16);
  made.writeUInt16LE(v6 ? AF_INET6 : AF_INET, 0);
  made.writeUInt16BE(port, 2);
  made.set(v6 ? bytes : bytes.subarray(V4_OFFSET), v6 ? 8 : 4);
  return made;
}

function took(count: number, action: () => void): number {
  const nanoseconds = Array.from({ length: count }, () => {
    const from = process.hrtime.bigint();
    action();
    return Number(process.hrtime.bigint() - from);
  });
  return percentile(nanoseconds, 0.5);
}

function connections(count: number, target: Target): number {
  const address = sockaddr(target);
  const nanoseconds: number[] = [];
  for (let index = 0; index < count; index++) {
    const fd = socket(target.v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, LINGER, LINGER.length);
    const from = process.hrtime.bigint();
    const result = connect(fd, address, address.length);
    nanoseconds.push(Number(process.hrtime.bigint() - from));
    close(fd);
    if (result !== 0) throw new Error(`connect to ${target.address} failed: errno ${koffi.errno()}`);
  }
  return percentile(nanoseconds, 0.5);
}

const target = JSON.parse(process.argv[2] ?? "{}") as Target;
for await (const line of createInterface({ input: process.stdin })) {
  const count = Number(line);
  process.stdout.write(`${connections(count, target) - took(count, () => getppid())}\n`);
}
