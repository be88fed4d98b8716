/**
 * The functions of libbpf.so.1 that we call, typed. All calls are synchronous, from the main thread: buffers handed to them
 * live until they return, so nothing needs to be held. A negative result is -errno.
 */
import koffi, { type LibraryHandle } from "koffi";
import { UserError } from "../runtime/user-error.ts";
import { kernelError } from "./errno.ts";

/** An address in our process; null where C says NULL. */
export type Pointer = bigint | null;
type Bytes = Uint8Array | null;

export interface Libbpf {
  setPrint(callback: null): Pointer;
  possibleCpus(): number;
  openObject(path: string, options: Bytes): Pointer;
  loadObject(object: Pointer): number;
  closeObject(object: Pointer): void;
  nextMap(object: Pointer, previous: Pointer): Pointer;
  mapName(map: Pointer): string;
  mapFd(map: Pointer): number;
  mapKeyType(map: Pointer): number;
  mapValueType(map: Pointer): number;
  mapType(map: Pointer): number;
  mapKeySize(map: Pointer): number;
  mapValueSize(map: Pointer): number;
  mapFlags(map: Pointer): number;
  mapMaxEntries(map: Pointer): number;
  setMapMaxEntries(map: Pointer, maxEntries: number): number;
  reuseMapFd(map: Pointer, fd: number): number;
  nextProgram(object: Pointer, previous: Pointer): Pointer;
  programName(program: Pointer): string;
  programFd(program: Pointer): number;
  programAttachType(program: Pointer): number;
  objectBtf(object: Pointer): Pointer;
  btfBytes(btf: Pointer, size: Uint8Array): Pointer;
  pin(fd: number, path: string): number;
  openPin(path: string): number;
  infoByFd(fd: number, info: Uint8Array, size: Uint8Array): number;
  programFdById(id: number): number;
  createLink(programFd: number, targetFd: number, attachType: number, options: Bytes): number;
  updateLink(linkFd: number, programFd: number, options: Bytes): number;
  lookup(fd: number, key: Uint8Array, value: Uint8Array): number;
  lookupBatch(
    fd: number,
    from: Bytes,
    next: Uint8Array,
    keys: Uint8Array,
    values: Uint8Array,
    count: Uint8Array,
    options: Bytes,
  ): number;
  updateBatch(fd: number, keys: Uint8Array, values: Uint8Array, count: Uint8Array, options: Bytes): number;
  deleteBatch(fd: number, keys: Uint8Array, count: Uint8Array, options: Bytes): number;
}

const LIBRARY = "libbpf.so.1";

function declare(library: LibraryHandle): Libbpf {
  return {
    setPrint: library.func("void *libbpf_set_print(void *callback)"),
    possibleCpus: library.func("int libbpf_num_possible_cpus()"),
    openObject: library.func("void *bpf_object__open_file(const char *path, const void *options)"),
    loadObject: library.func("int bpf_object__load(void *object)"),
    closeObject: library.func("void bpf_object__close(void *object)"),
    nextMap: library.func("void *bpf_object__next_map(void *object, void *previous)"),
    mapName: library.func("const char *bpf_map__name(void *map)"),
    mapFd: library.func("int bpf_map__fd(void *map)"),
    mapKeyType: library.func("uint32_t bpf_map__btf_key_type_id(void *map)"),
    mapValueType: library.func("uint32_t bpf_map__btf_value_type_id(void *map)"),
    mapType: library.func("int bpf_map__type(void *map)"),
    mapKeySize: library.func("uint32_t bpf_map__key_size(void *map)"),
    mapValueSize: library.func("uint32_t bpf_map__value_size(void *map)"),
    mapFlags: library.func("uint32_t bpf_map__map_flags(void *map)"),
    mapMaxEntries: library.func("uint32_t bpf_map__max_entries(void *map)"),
    setMapMaxEntries: library.func("int bpf_map__set_max_entries(void *map, uint32_t max_entries)"),
    reuseMapFd: library.func("int bpf_map__reuse_fd(void *map, int fd)"),
    nextProgram: library.func("void *bpf_object__next_program(void *object, void *previous)"),
    programName: library.func("const char *bpf_program__name(void *program)"),
    programFd: library.func("int bpf_program__fd(void *program)"),
    programAttachType: library.func("int bpf_program__expected_attach_type(void *program)"),
    objectBtf: library.func("void *bpf_object__btf(void *object)"),
    btfBytes: library.func("const void *btf__raw_data(void *btf, void *size)"),
    pin: library.func("int bpf_obj_pin(int fd, const char *path)"),
    openPin: library.func("int bpf_obj_get(const char *path)"),
    infoByFd: library.func("int bpf_obj_get_info_by_fd(int fd, void *info, void *size)"),
    programFdById: library.func("int bpf_prog_get_fd_by_id(uint32_t id)"),
    createLink: library.func("int bpf_link_create(int program, int target, int type, const void *options)"),
    updateLink: library.func("int bpf_link_update(int link, int program, const void *options)"),
    lookup: library.func("int bpf_map_lookup_elem(int fd, const void *key, void *value)"),
    lookupBatch: library.func(
      "int bpf_map_lookup_batch(int fd, void *from, void *next, void *keys, void *values, void *count, const void *options)",
    ),
    updateBatch: library.func(
      "int bpf_map_update_batch(int fd, const void *keys, const void *values, void *count, const void *options)",
    ),
    deleteBatch: library.func("int bpf_map_delete_batch(int fd, const void *keys, void *count, const void *options)"),
  };
}

let loaded: Libbpf | undefined;

/** The library, loaded at the first call: programs that touch no kernel need not have it. */
export function libbpf(): Libbpf {
  if (loaded !== undefined) return loaded;
  try {
    loaded = declare(koffi.load(LIBRARY));
  } catch (error) {
    throw new UserError(`${LIBRARY} cannot be loaded (${String(error)}); install it: apt-get install libbpf1`);
  }
  loaded.setPrint(null);
  return loaded;
}

/** `result` when it is no error. */
export function checked(what: string, result: number): number {
  if (result < 0) throw kernelError(what, -result);
  return result;
}

/** Why the last call that answered NULL did so. */
export function lastErrno(): number {
  return koffi.errno();
}

/** An address to write into a struct of options; keep `buffer` referenced until the call returned. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}

/** A copy of `length` bytes of memory that libbpf owns. */
export function copyFrom(pointer: Pointer, length: number): Uint8Array {
  return new Uint8Array(koffi.view(pointer, length)).slice();
}
