/** What the kernel says of a map, a program or a link behind a file descriptor. Offsets: linux/bpf.h, bpf_*_info. */
import { createHash } from "node:crypto";
import { closeSync } from "node:fs";
import { addressOf, checked, libbpf } from "./library.ts";

const MAP_INFO_BYTES = 80;
const PROGRAM_INFO_BYTES = 224;
const LINK_INFO_BYTES = 64;
const READ_ONLY_FOR_PROGRAMS = 0x80;
export const LINK_TYPE_TCX = 11;
const PROGRAM_TAG_BYTES = 8;
const MAP_NAME_AT = 24;
const PROGRAM_NAME_AT = 64;
const NAME_BYTES = 15;

function readInfo(fd: number, info: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(info.length);
  checked("asking the kernel about a BPF object", libbpf().infoByFd(fd, info, size));
  return info;
}

export interface MapInfo {
  readonly id: number;
  /** Cut to 15 characters. */
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** 0: it was made without type information. */
  readonly btfId: number;
  readonly keyType: number;
  readonly valueType: number;
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
    btfId: info.readUInt32LE(64),
    keyType: info.readUInt32LE(68),
    valueType: info.readUInt32LE(72),
    name: nameAt(info, MAP_NAME_AT),
  };
}

function nameAt(info: Buffer, at: number): string {
  const end = info.indexOf(0, at);
  return info.toString("latin1", at, Math.min(end, at + NAME_BYTES));
}

/** As in the source, cut to 15 characters. */
export function programName(fd: number): string {
  return nameAt(readInfo(fd, Buffer.alloc(PROGRAM_INFO_BYTES)), PROGRAM_NAME_AT);
}

export function programId(fd: number): number {
  return readInfo(fd, Buffer.alloc(PROGRAM_INFO_BYTES)).readUInt32LE(4);
}

/** Code and maps in one line. The tag alone is not enough: it hides which maps the code uses. */
export function programFingerprint(fd: number): string {
  const tag = readInfo(fd, Buffer.alloc(PROGRAM_INFO_BYTES)).toString("hex", 8, 8 + PROGRAM_TAG_BYTES);
  return `${tag} ${programMaps(fd).map(mapFingerprint).sort().join(",")}`;
}

/** Ids of the maps that a program uses. */
export function programMaps(fd: number): readonly number[] {
  const count = readInfo(fd, Buffer.alloc(PROGRAM_INFO_BYTES)).readUInt32LE(52);
  const ids = Buffer.alloc(4 * count);
  if (count > 0) {
    const second = Buffer.alloc(PROGRAM_INFO_BYTES);
    second.writeUInt32LE(count, 52);
    second.writeBigUInt64LE(addressOf(ids), 56);
    readInfo(fd, second);
  }
  return Array.from({ length: count }, (_, index) => ids.readUInt32LE(4 * index));
}

/** Every load makes the maps of constants anew (their names hold a dot): they are the same when their contents are. */
function mapFingerprint(id: number): string {
  const fd = libbpf().mapFdById(id);
  if (fd < 0) return `${id}`;
  try {
    const { name, flags, valueSize } = mapInfo(fd);
    const value = Buffer.alloc(valueSize);
    const isConstant = name.includes(".") && (flags & READ_ONLY_FOR_PROGRAMS) !== 0;
    if (!isConstant || libbpf().lookup(fd, Buffer.alloc(4), value) !== 0) return `${id}`;
    return createHash("sha256").update(value).digest("hex");
  } finally {
    closeSync(fd);
  }
}

export interface LinkInfo {
  readonly type: number;
  readonly programId: number;
  /** Of a cgroup link; 0 when its cgroup was removed. */
  readonly cgroupId: bigint;
  /** Of a tcx link; 0 when its device is gone. */
  readonly ifindex: number;
  readonly attachType: number;
}

export function linkInfo(fd: number): LinkInfo {
  const info = readInfo(fd, Buffer.alloc(LINK_INFO_BYTES));
  const type = info.readUInt32LE(0);
  return {
    type,
    programId: info.readUInt32LE(8),
    cgroupId: info.readBigUInt64LE(16),
    ifindex: info.readUInt32LE(16),
    attachType: info.readUInt32LE(type === LINK_TYPE_TCX ? 20 : 24),
  };
}
