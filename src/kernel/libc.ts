/** The functions of the C library that we call, typed. A result of -1 leaves the reason in `lastErrno()`. */
import koffi from "koffi";
import type { Pointer } from "./library.ts";

export interface Libc {
  pageBytes(): number;
  map(at: null, bytes: bigint, protection: number, flags: number, fd: number, offset: bigint): Pointer;
  setNamespace(fd: number, type: number): number;
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, bytes: number): number;
  setOption(fd: number, level: number, option: number, value: Uint8Array, bytes: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  receive(fd: number, bytes: Uint8Array, length: number, flags: number): number;
}

let loaded: Libc | undefined;

export function libc(): Libc {
  if (loaded !== undefined) return loaded;
  const library = koffi.load("libc.so.6");
  loaded = {
    pageBytes: library.func("int getpagesize()"),
    map: library.func("void *mmap(void *at, size_t length, int protection, int flags, int fd, int64_t offset)"),
    setNamespace: library.func("int setns(int fd, int type)"),
    socket: library.func("int socket(int family, int type, int protocol)"),
    bind: library.func("int bind(int fd, const void *address, uint32_t length)"),
    setOption: library.func("int setsockopt(int fd, int level, int option, const void *value, uint32_t length)"),
    send: library.func("int64_t send(int fd, const void *bytes, size_t length, int flags)"),
    receive: library.func("int64_t recv(int fd, void *bytes, size_t length, int flags)"),
  };
  return loaded;
}

/** The memory itself, not a copy: it must stay mapped for as long as the answer is in reach. */
export function memoryAt(pointer: Pointer, length: number): ArrayBuffer {
  return koffi.view(pointer, length);
}
