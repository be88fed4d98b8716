/** What the programs use that run now: a map outlives its pin while a program holds it, and a pin may hold a map that no program uses. */
import { closeSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { MapLayout } from "../model/layout.ts";
import { Btf, structDifference } from "./btf.ts";
import { linkInfo, type MapInfo, mapInfo, programMaps } from "./info.ts";
import { copyFrom, libbpf } from "./library.ts";
import { linkPin, openPin } from "./pins.ts";

/** What the kernel keeps of a map's name. */
const NAME_CHARACTERS = 15;

/** Maps of the programs at the links pinned in a directory. Filters (clsact) are pinned nowhere and do not count. */
export interface Running {
  /** Ids of the maps of all programs. */
  readonly maps: ReadonlySet<number>;
  /** Whether one of these programs is attached. */
  has(programs: readonly string[]): boolean;
}

/** Undefined when the kernel does not say: that takes SYS_ADMIN. */
export function runningMaps(pinDirectory: string): Running | undefined {
  const maps = new Set<number>();
  const files = existsSync(pinDirectory) ? readdirSync(pinDirectory) : [];
  const links = files.filter((file) => file.startsWith("link_"));
  for (const link of links) {
    const found = mapsOfLink(join(pinDirectory, link));
    if (found === undefined) return undefined;
    for (const id of found) maps.add(id);
  }
  const isOf = (link: string, program: string): boolean => {
    const pin = linkPin("/", program).slice(1);
    return link === pin || link.startsWith(`${pin}_`);
  };
  return { maps, has: (programs) => links.some((link) => programs.some((program) => isOf(link, program))) };
}

function mapsOfLink(pin: string): readonly number[] | undefined {
  const link = openPin(pin);
  if (link === undefined) return [];
  try {
    const { programId } = linkInfo(link);
    const program = libbpf().programFdById(programId);
    return program < 0 ? undefined : using(program, programMaps);
  } finally {
    closeSync(link);
  }
}

/** A descriptor of the running map of that layout, with these sizes; undefined: there is none. The caller closes it. */
export function openRunning(
  { maps }: Running,
  layout: MapLayout,
  fits: (info: MapInfo) => boolean,
): number | undefined {
  for (const id of maps) {
    const fd = libbpf().mapFdById(id);
    if (fd < 0) continue;
    const info = mapInfo(fd);
    if (info.name === layout.name.slice(0, NAME_CHARACTERS) && fits(info) && hasLayout(info, layout)) return fd;
    closeSync(fd);
  }
  return undefined;
}

/** Field by field, as the map's own type information says. */
function hasLayout({ btfId, keyType, valueType }: MapInfo, { key, value }: MapLayout): boolean {
  const loaded = btfId === 0 ? null : libbpf().loadBtf(btfId);
  if (loaded === null) return false;
  try {
    const size = Buffer.alloc(4);
    const bytes = libbpf().btfBytes(loaded, size);
    if (bytes === null) return false;
    const btf = new Btf(copyFrom(bytes, size.readUInt32LE()));
    return [structDifference(btf, keyType, key), structDifference(btf, valueType, value)].every(
      (difference) => difference === undefined,
    );
  } finally {
    libbpf().freeBtf(loaded);
  }
}

function using<T>(fd: number, action: (fd: number) => T): T {
  try {
    return action(fd);
  } finally {
    closeSync(fd);
  }
}
