/** Netlink: requests to the kernel's network, and its answers taken apart. Format: linux/netlink.h. Bytes that do not add up end the parse. */
import { closeSync } from "node:fs";
import { KernelError } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { libc } from "./libc.ts";
import { lastErrno } from "./library.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 0x80003;
const SOL_NETLINK = 270;
const SOCKET_ADDRESS_BYTES = 12;
const MESSAGE_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_TYPE = 0x3fff;
const REQUEST_DUMP = 0x301;
const REQUEST_ACKNOWLEDGED = 5;
/** How much lower the type of rtnetlink's answers is than that of a dump request. */
const ROUTE_ANSWER = 2;
/** The dump changed while it was read. */
const INTERRUPTED = 0x10;
const ERROR = 2;
const DONE = 3;
/** The kernel answers in pieces of 32 KiB at most. */
const ANSWER_BYTES = 1 << 16;
const DONT_WAIT = 0x40;
const DUMP_ATTEMPTS = 10;

export const NETLINK_PROTOCOL = { route: 0, socketDiagnosis: 4 } as const;
export const NETLINK_OPTION = { listenAllNamespaces: 8, strictCheck: 12 } as const;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Buffer;
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

/** Messages one after another, up to the first whose length does not fit. */
export function parseMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + MESSAGE_HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < MESSAGE_HEADER_BYTES || at + length > bytes.length) break;
    const body = bytes.subarray(at + MESSAGE_HEADER_BYTES, at + length);
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      body,
    });
    at += aligned(length);
  }
  return messages;
}

/** Attributes of the `wanted` types, the last of a kind, up to the first whose length does not fit. */
export function parseAttributes(bytes: Buffer, ...wanted: readonly number[]): ReadonlyMap<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + ATTRIBUTE_HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > bytes.length) break;
    const type = bytes.readUInt16LE(at + 2) & ATTRIBUTE_TYPE;
    if (wanted.includes(type)) attributes.set(type, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
    at += aligned(length);
  }
  return attributes;
}

export function attribute(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(8, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.writeInt32LE(value, 4);
  return bytes;
}

export class NetlinkSocket {
  #fd: number;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  #sequence = 0;

  /** In the network namespace of this thread. @param groups bits of the multicast groups to hear. */
  constructor(groups = 0, protocol: number = NETLINK_PROTOCOL.route) {
    const fd = libc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol);
    if (fd < 0) throw kernelError("opening a netlink socket", lastErrno());
    this.#fd = fd;
    const address = Buffer.alloc(SOCKET_ADDRESS_BYTES);
    address.writeUInt16LE(AF_NETLINK, 0);
    address.writeUInt32LE(groups, 8);
    this.#try("binding a netlink socket", libc().bind(fd, address, address.length));
  }

  #try(what: string, result: number): number {
    if (result >= 0) return result;
    const errno = lastErrno();
    this.close();
    throw kernelError(what, errno);
  }

  enable(option: number): void {
    const on = Buffer.from([1, 0, 0, 0]);
    this.#try("setting up a netlink socket", libc().setOption(this.#fd, SOL_NETLINK, option, on, on.length));
  }

  /** Whether anything came, or was lost, since the last call. */
  heard(): boolean {
    const scrap = Buffer.alloc(MESSAGE_HEADER_BYTES);
    for (let heard = false; ; heard = true) {
      if (libc().receive(this.#fd, scrap, scrap.length, DONT_WAIT) >= 0) continue;
      const errno = lastErrno();
      if (errno === ERRNO.EAGAIN) return heard;
      if (errno !== ERRNO.ENOBUFS && errno !== ERRNO.EINTR) throw kernelError("listening to netlink", errno);
    }
  }

  /** Every answer, of type `answer`, to a dump request: read again when the kernel says that it changed meanwhile. */
  dump(type: number, request: Buffer, answer = type - ROUTE_ANSWER): readonly Buffer[] {
    for (let attempt = 1; ; attempt++) {
      this.#send(type, REQUEST_DUMP, request);
      const bodies = this.#receiveAll(answer);
      if (bodies !== undefined) return bodies;
      if (attempt === DUMP_ATTEMPTS)
        throw new KernelError("the network changes too fast to be read", ERRNO.EINTR, 0, true);
    }
  }

  /** What the kernel answers to a request that is no dump, once it is done. Throws a KernelError when it was not. */
  ask(type: number, request: Buffer, answer = type): readonly Buffer[] {
    this.#send(type, REQUEST_ACKNOWLEDGED, request);
    return this.#receiveAll(answer) ?? [];
  }

  #send(type: number, flags: number, request: Buffer): void {
    const bytes = Buffer.alloc(MESSAGE_HEADER_BYTES + request.length);
    bytes.writeUInt32LE(bytes.length, 0);
    bytes.writeUInt16LE(type, 4);
    bytes.writeUInt16LE(flags, 6);
    bytes.writeUInt32LE(++this.#sequence, 8);
    request.copy(bytes, MESSAGE_HEADER_BYTES);
    if (libc().send(this.#fd, bytes, bytes.length, 0) < 0) throw kernelError("asking netlink", lastErrno());
  }

  /** Undefined when the dump was interrupted. */
  #receiveAll(answer: number): Buffer[] | undefined {
    const bodies: Buffer[] = [];
    for (let interrupted = false; ; ) {
      const length = libc().receive(this.#fd, this.#answer, ANSWER_BYTES, 0);
      if (length < 0) throw kernelError("reading netlink", lastErrno());
      const messages = parseMessages(Buffer.from(this.#answer.subarray(0, length)));
      if (messages.length === 0) throw new KernelError("netlink answered nonsense", ERRNO.EBADMSG, 0, true);
      for (const message of messages) {
        // What is left of a dump that was given up.
        if (message.sequence !== this.#sequence) continue;
        interrupted ||= (message.flags & INTERRUPTED) !== 0;
        if (message.type === ERROR || message.type === DONE) {
          const errno = message.body.length >= 4 ? -message.body.readInt32LE(0) : 0;
          if (errno > 0) throw kernelError("reading the network", errno);
          return interrupted ? undefined : bodies;
        }
        if (message.type === answer) bodies.push(message.body);
      }
    }
  }

  /** Every call from now on fails. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
