/** A BPF object from its ELF file to the kernel: layouts compared, pinned maps adopted, programs verified, new maps pinned. */
import { closeSync, rmSync } from "node:fs";
import { basename } from "node:path";
import type { FamilyLayout, MapLayout } from "../model/layout.ts";
import { UserError } from "../runtime/user-error.ts";
import { Btf, enumDifference, namedStructDifference, structDifference } from "./btf.ts";
import { KernelError, type LoadRequest } from "./door.ts";
import { ERRNO, errnoName, kernelError } from "./errno.ts";
import { type MapInfo, mapInfo } from "./info.ts";
import { addressOf, checked, copyFrom, lastErrno, libbpf, type Pointer } from "./library.ts";
import { DEVICE_PROGRAM, type Program } from "./link.ts";
import { mapPin, openPin } from "./pins.ts";
import { openRunning, runningMaps } from "./running.ts";

export const MAP_TYPE = { lpmTrie: 11, arrayOfMaps: 12, ring: 27 } as const;
const OPEN_OPTIONS_BYTES = 80;
const VERIFIER_LOG_BYTES = 1 << 20;
/** What is wrong stands at the end of the verifier's text. */
const VERIFIER_LINES_SHOWN = 12;

export class BpfObject {
  readonly #path: string;
  readonly #object: Pointer;
  /** Written by the kernel while loading, when it refuses a program. */
  readonly #verifierLog = Buffer.alloc(VERIFIER_LOG_BYTES);

  /** Opens and parses the file; nothing is in the kernel yet. */
  constructor(path: string) {
    this.#path = path;
    const options = Buffer.alloc(OPEN_OPTIONS_BYTES);
    options.writeBigUInt64LE(BigInt(OPEN_OPTIONS_BYTES), 0);
    options.writeBigUInt64LE(addressOf(this.#verifierLog), 56);
    options.writeBigUInt64LE(BigInt(VERIFIER_LOG_BYTES), 64);
    this.#object = libbpf().openObject(path, options);
    if (this.#object !== null) return;
    throw new UserError(
      `${path} cannot be opened as a BPF object: ${errnoName(lastErrno())}; run deploy/setup to compile it`,
    );
  }

  close(): void {
    libbpf().closeObject(this.#object);
  }

  /** Maps by name, but those that the compiler makes for constants (their names hold a dot). */
  maps(): Map<string, Pointer> {
    const maps = new Map<string, Pointer>();
    for (let map = libbpf().nextMap(this.#object, null); map !== null; map = libbpf().nextMap(this.#object, map)) {
      const name = libbpf().mapName(map);
      if (!name.includes(".")) maps.set(name, map);
    }
    return maps;
  }

  /** In the order of the source. */
  programs(): Program[] {
    const programs: Program[] = [];
    let program = libbpf().nextProgram(this.#object, null);
    for (; program !== null; program = libbpf().nextProgram(this.#object, program)) {
      programs.push({
        name: libbpf().programName(program),
        fd: libbpf().programFd(program),
        type: libbpf().programType(program),
        attachType: libbpf().programAttachType(program),
      });
    }
    return programs;
  }

  /** Throws unless the object's maps, families, rings, structs, enums and programs for devices are exactly those asked for. */
  checkLayouts(request: LoadRequest): void {
    const btf = this.#btf();
    const maps = this.maps();
    const take = (name: string): Pointer => {
      const map = maps.get(name) ?? null;
      maps.delete(name);
      return map;
    };
    const differences = [
      ...request.layouts.map((layout) => mapDifference(btf, take(layout.name), layout)),
      ...(request.families ?? []).map((layout) => familyDifference(btf, take(layout.name), layout)),
      ...(request.rings ?? []).map((name) => ringDifference(take(name), name)),
      ...[...maps.keys()].map((name) => `map ${name} is not expected`),
      ...(request.structs ?? []).map((layout) => namedStructDifference(btf, layout)),
      ...(request.enums ?? []).map((layout) => enumDifference(btf, layout)),
      ...Object.values(request.devicePrograms ?? {}).map((name) => this.#programDifference(name)),
    ];
    const difference = differences.find((line) => line !== undefined);
    if (difference === undefined) return;
    const file = basename(this.#path);
    throw new KernelError(`${file} was compiled from other sources: ${difference}; run deploy/setup`, ERRNO.EINVAL);
  }

  #programDifference(name: string): string | undefined {
    const found = this.programs().some((program) => program.name === name && program.type === DEVICE_PROGRAM);
    return found ? undefined : `program ${name} is expected, but the object has no such tc program`;
  }

  #btf(): Btf {
    const size = Buffer.alloc(4);
    const bytes = libbpf().btfBytes(libbpf().objectBtf(this.#object), size);
    if (bytes === null) throw new KernelError(`${this.#path} holds no BTF; compile it with -g`, ERRNO.EINVAL);
    return new Btf(copyFrom(bytes, size.readUInt32LE()));
  }

  /**
   * Takes over the maps that are pinned, and of those that no pin of this version holds the running ones that are to be kept; answers the names of the
   * former. A pinned map that our programs do not use though they run is a left-over, of another version or of a process that did not get as far
   * as swapping them: it is made anew.
   */
  adoptPins(request: LoadRequest): string[] {
    const running = runningMaps(request.pinDirectory);
    const names = this.programs().map(({ name }) => name);
    const isLeftOver = (fd: number, name: string): boolean => {
      if (running === undefined || !running.has(names) || request.shared?.includes(name)) return false;
      return !running.maps.has(mapInfo(fd).id);
    };
    const adopted: string[] = [];
    for (const [name, map] of this.maps()) {
      const capacity = request.maxEntries?.[name];
      if (capacity !== undefined) checked(`sizing ${name}`, libbpf().setMapMaxEntries(map, capacity));
      const pin = mapPin(request.pinDirectory, name, request.layoutVersion);
      const fd = openPin(pin);
      if (fd !== undefined && !isLeftOver(fd, name)) {
        closing(fd, () => this.#adopt(map, fd, pin));
        adopted.push(name);
        continue;
      }
      if (fd !== undefined) closing(fd, () => rmSync(pin));
      const layout = request.kept?.includes(name) ? request.layouts.find((one) => one.name === name) : undefined;
      const kept = running && layout && openRunning(running, layout, (info) => matches(map, info));
      if (kept !== undefined) closing(kept, () => checked(`keeping ${name}`, libbpf().reuseMapFd(map, kept)));
    }
    return adopted;
  }

  /** libbpf takes any map for another: what the programs were compiled for is compared here. */
  #adopt(map: Pointer, fd: number, pin: string): void {
    if (!matches(map, mapInfo(fd))) {
      const mend = "raise LAYOUT_VERSION in src/maps, or remove the pin";
      throw new KernelError(`${pin} holds a map of another type or size than the object's; ${mend}`, ERRNO.EINVAL);
    }
    checked(`adopting ${pin}`, libbpf().reuseMapFd(map, fd));
  }

  /** Creates the maps that were not adopted and has the programs verified. */
  load(): void {
    this.#verifierLog.fill(0);
    const errno = -libbpf().loadObject(this.#object);
    if (errno === 0) return;
    const error = kernelError(`loading ${basename(this.#path)}`, errno);
    const end = this.#verifierLog.indexOf(0);
    const text = this.#verifierLog.toString("utf8", 0, Math.max(end, 0)).trimEnd();
    const shown = text.split("\n").slice(-VERIFIER_LINES_SHOWN).join("\n");
    throw text === "" ? error : new KernelError(`${error.message}\n${shown}`, errno);
  }

  /** Pins the maps that are not adopted: all of them or none. */
  pinMaps(request: LoadRequest, adopted: readonly string[]): void {
    const pinned: string[] = [];
    try {
      for (const [name, map] of this.maps()) {
        if (adopted.includes(name)) continue;
        const pin = mapPin(request.pinDirectory, name, request.layoutVersion);
        checked(`pinning ${pin}`, libbpf().pin(libbpf().mapFd(map), pin));
        pinned.push(pin);
      }
    } catch (error) {
      for (const pin of pinned) rmSync(pin, { force: true });
      throw error;
    }
  }
}

function closing(fd: number, action: () => void): void {
  try {
    action();
  } finally {
    closeSync(fd);
  }
}

/** Capacity may differ: no connection is to end for the sake of it. */
function matches(map: Pointer, found: MapInfo): boolean {
  return (
    found.type === libbpf().mapType(map) &&
    found.keySize === libbpf().mapKeySize(map) &&
    found.valueSize === libbpf().mapValueSize(map) &&
    found.flags === libbpf().mapFlags(map)
  );
}

function missing(name: string): string {
  return `map ${name} is expected, but the object has none`;
}

function mapDifference(btf: Btf, map: Pointer, layout: MapLayout): string | undefined {
  if (map === null) return missing(layout.name);
  return (
    structDifference(btf, libbpf().mapKeyType(map), layout.key) ??
    structDifference(btf, libbpf().mapValueType(map), layout.value)
  );
}

/** The compiler leaves no types at the maps inside: sizes are compared there, structs by their names. */
function familyDifference(btf: Btf, map: Pointer, { name, key, value }: FamilyLayout): string | undefined {
  if (map === null) return missing(name);
  const inner = libbpf().mapType(map) === MAP_TYPE.arrayOfMaps ? libbpf().innerMap(map) : null;
  if (inner === null) return `map ${name} is no array of maps`;
  const shape = [libbpf().mapType(inner), libbpf().mapKeySize(inner), libbpf().mapValueSize(inner)].join(" ");
  if (shape !== [MAP_TYPE.lpmTrie, key.sizeBytes, value.sizeBytes].join(" ")) {
    return `maps in ${name} are not LPM tries of ${key.sizeBytes} + ${value.sizeBytes} bytes`;
  }
  return namedStructDifference(btf, key) ?? namedStructDifference(btf, value);
}

function ringDifference(map: Pointer, name: string): string | undefined {
  if (map === null) return missing(name);
  return libbpf().mapType(map) === MAP_TYPE.ring ? undefined : `map ${name} is no ring`;
}
