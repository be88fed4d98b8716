/**
 * The functions of libbpf.so.1 that we call, typed. Calls are synchronous, from the main thread: buffers handed to them live
 * until they return, so nothing needs to be held; `waiting` is for the few that wait. A negative result is -errno.
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
  setMapMaxEntries(map: Pointer, maxEntries: number): number;
  reuseMapFd(map: Pointer, fd: number): number;
  nextProgram(object: Pointer, previous: Pointer): Pointer;
  programName(program: Pointer): string;
  programFd(program: Pointer): number;
  programAttachType(program: Pointer): number;
  programType(program: Pointer): number;
  innerMap(map: Pointer): Pointer;
  objectBtf(object: Pointer): Pointer;
  btfBytes(btf: Pointer, size: Uint8Array): Pointer;
  loadBtf(id: number): Pointer;
  freeBtf(btf: Pointer): void;
  pin(fd: number, path: string): number;
  openPin(path: string): number;
  infoByFd(fd: number, info: Uint8Array, size: Uint8Array): number;
  programFdById(id: number): number;
  mapFdById(id: number): number;
  createMap(
    type: number,
    name: string,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    options: Uint8Array,
  ): number;
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
  updateBatchWaiting: Waiting<[fd: number, keys: Uint8Array, values: Uint8Array, count: Uint8Array, options: null]>;
  deleteWaiting: Waiting<[fd: number, key: Uint8Array]>;
  createFilterHook(hook: Uint8Array): number;
  attachFilter(hook: Uint8Array, options: Uint8Array): number;
  detachFilter(hook: Uint8Array, options: Uint8Array): number;
  queryFilter(hook: Uint8Array, options: Uint8Array): number;
  testRun(programFd: number, options: Uint8Array): number;
  enableStats(type: number): number;
}

/** A call on a thread of its own: the loop stays free while the kernel waits. */
export type Waiting<Arguments extends unknown[]> = (...given: Arguments) => Promise<number>;

const LIBRARY = "libbpf.so.1";

/** koffi lets go of arguments while the call still runs: they are held here. */
const held = new Set<unknown>();

function waiting<Arguments extends unknown[]>(call: (...given: Arguments) => number): Waiting<Arguments> {
  const { async: start } = call as typeof call & {
    async: (...given: [...Arguments, (error: unknown, result: number) => void]) => void;
  };
  return (...given) =>
    new Promise((resolve, reject) => {
      held.add(given);
      start(...given, (error, result) => {
        held.delete(given);
        if (error === null || error === undefined) resolve(result);
        else reject(error);
      });
    });
}

function declare(library: LibraryHandle): Libbpf {
  const updateBatch = library.func(
    "int bpf_map_update_batch(int fd, const void *keys, const void *values, void *count, const void *options)",
  );
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
    setMapMaxEntries: library.func("int bpf_map__set_max_entries(void *map, uint32_t max_entries)"),
    reuseMapFd: library.func("int bpf_map__reuse_fd(void *map, int fd)"),
    nextProgram: library.func("void *bpf_object__next_program(void *object, void *previous)"),
    programName: library.func("const char *bpf_program__name(void *program)"),
    programFd: library.func("int bpf_program__fd(void *program)"),
    programAttachType: library.func("int bpf_program__expected_attach_type(void *program)"),
    programType: library.func("int bpf_program__type(void *program)"),
    innerMap: library.func("void *bpf_map__inner_map(void *map)"),
    objectBtf: library.func("void *bpf_object__btf(void *object)"),
    btfBytes: library.func("const void *btf__raw_data(void *btf, void *size)"),
    loadBtf: library.func("void *btf__load_from_kernel_by_id(uint32_t id)"),
    freeBtf: library.func("void btf__free(void *btf)"),
    pin: library.func("int bpf_obj_pin(int fd, const char *path)"),
    openPin: library.func("int bpf_obj_get(const char *path)"),
    infoByFd: library.func("int bpf_obj_get_info_by_fd(int fd, void *info, void *size)"),
    programFdById: library.func("int bpf_prog_get_fd_by_id(uint32_t id)"),
    mapFdById: library.func("int bpf_map_get_fd_by_id(uint32_t id)"),
    createMap: library.func(
      "int bpf_map_create(int type, const char *name, uint32_t key, uint32_t value, uint32_t max_entries, const void *options)",
    ),
    createLink: library.func("int bpf_link_create(int program, int target, int type, const void *options)"),
    updateLink: library.func("int bpf_link_update(int link, int program, const void *options)"),
    lookup: library.func("int bpf_map_lookup_elem(int fd, const void *key, void *value)"),
    lookupBatch: library.func(
      "int bpf_map_lookup_batch(int fd, void *from, void *next, void *keys, void *values, void *count, const void *options)",
    ),
    updateBatch,
    deleteBatch: library.func("int bpf_map_delete_batch(int fd, const void *keys, void *count, const void *options)"),
    updateBatchWaiting: waiting(updateBatch),
    deleteWaiting: waiting(library.func("int bpf_map_delete_elem(int fd, const void *key)")),
    createFilterHook: library.func("int bpf_tc_hook_create(void *hook)"),
    attachFilter: library.func("int bpf_tc_attach(const void *hook, void *options)"),
    detachFilter: library.func("int bpf_tc_detach(const void *hook, const void *options)"),
    queryFilter: library.func("int bpf_tc_query(const void *hook, void *options)"),
    testRun: library.func("int bpf_prog_test_run_opts(int program, void *options)"),
    enableStats: library.func("int bpf_enable_stats(int type)"),
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
