/** What the kernel says of a map, a program or a link behind a file descriptor. Offsets: linux/bpf.h, bpf_*_info. */
import { addressOf, checked, libbpf } from "./library.ts";

const MAP_INFO_BYTES = 80;
const PROGRAM_INFO_BYTES = 224;
const LINK_INFO_BYTES = 64;
const PROGRAM_TAG_BYTES = 8;

function readInfo(fd: number, info: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(info.length);
  checked("asking the kernel about a BPF object", libbpf().infoByFd(fd, info, size));
  return info;
}

export interface MapInfo {
  readonly id: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

export function mapInfo(fd: number): MapInfo {
  const info = readInfo(fd, Buffer.alloc(MAP_INFO_BYTES));
  return {
    type: info.readUInt32LE(0),
    id: info.readUInt32LE(4),
    keySize: info.readUInt32LE(8),
    valueSize: info.readUInt32LE(12),
    maxEntries: info.readUInt32LE(16),
    flags: info.readUInt32LE(20),
  };
}

/** Code and maps in one line. The tag alone is not enough: it hides which maps the code uses. */
export function programFingerprint(fd: number): string {
  const first = readInfo(fd, Buffer.alloc(PROGRAM_INFO_BYTES));
  const tag = first.toString("hex", 8, 8 + PROGRAM_TAG_BYTES);
  const count = first.readUInt32LE(52);
  const ids = Buffer.alloc(4 * count);
  if (count > 0) {
    const second = Buffer.alloc(PROGRAM_INFO_BYTES);
    second.writeUInt32LE(count, 52);
    second.writeBigUInt64LE(addressOf(ids), 56);
    readInfo(fd, second);
  }
  const mapIds = Array.from({ length: count }, (_, index) => ids.readUInt32LE(4 * index));
  return `${tag} ${mapIds.sort((left, right) => left - right).join(",")}`;
}

export interface LinkInfo {
  readonly type: number;
  readonly programId: number;
  /** Of a cgroup link; 0 when its cgroup was removed. */
  readonly cgroupId: bigint;
  readonly attachType: number;
}

export function linkInfo(fd: number): LinkInfo {
  const info = readInfo(fd, Buffer.alloc(LINK_INFO_BYTES));
  return {
    type: info.readUInt32LE(0),
    programId: info.readUInt32LE(8),
    cgroupId: info.readBigUInt64LE(16),
    attachType: info.readUInt32LE(24),
  };
}
