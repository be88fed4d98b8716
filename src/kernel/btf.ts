/**
 * BTF, the type information inside a BPF object: parsed from bytes and compared with a layout of ours, so that a struct
 * declared in C and in src/maps cannot drift apart. Format: the kernel's Documentation/bpf/btf.rst.
 */
import type { EnumLayout, StructLayout } from "../model/layout.ts";

const MAGIC = 0xeb9f;
const POINTER_BYTES = 8;
/** No type is nested deeper through typedefs and arrays; a loop in broken BTF ends here. */
const MAX_DEPTH = 32;

const KIND = {
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const;

const ALIASES: ReadonlySet<number> = new Set([KIND.TYPEDEF, KIND.VOLATILE, KIND.CONST, KIND.RESTRICT, KIND.TYPE_TAG]);
const SIZED: ReadonlySet<number> = new Set([KIND.INT, KIND.STRUCT, KIND.UNION, KIND.ENUM, KIND.ENUM64, KIND.FLOAT]);

/** Bytes that follow a type's 12, fixed and per member. */
const TAIL: ReadonlyMap<number, { readonly fixed: number; readonly each: number }> = new Map([
  [KIND.INT, { fixed: 4, each: 0 }],
  [KIND.ARRAY, { fixed: 12, each: 0 }],
  [KIND.STRUCT, { fixed: 0, each: 12 }],
  [KIND.UNION, { fixed: 0, each: 12 }],
  [KIND.ENUM, { fixed: 0, each: 8 }],
  [KIND.FUNC_PROTO, { fixed: 0, each: 8 }],
  [KIND.VAR, { fixed: 4, each: 0 }],
  [KIND.DATASEC, { fixed: 0, each: 12 }],
  [KIND.DECL_TAG, { fixed: 4, each: 0 }],
  [KIND.ENUM64, { fixed: 0, each: 12 }],
]);

interface BtfType {
  readonly kind: number;
  readonly name: string;
  /** Members of a struct, an enum, ... */
  readonly members: number;
  readonly hasBitfields: boolean;
  /** Size in bytes, or the id of the type referred to. */
  readonly sizeOrType: number;
  /** Where what follows the type's 12 bytes starts. */
  readonly tail: number;
}

export class Btf {
  readonly #view: DataView;
  readonly #stringsAt: number;
  /** Type ids start at 1; 0 is void. */
  readonly #types: BtfType[] = [{ kind: 0, name: "void", members: 0, hasBitfields: false, sizeOrType: 0, tail: 0 }];

  /** Throws a RangeError or Error when the bytes are not BTF of this machine's byte order. */
  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.#view.getUint16(0, true) !== MAGIC) throw new Error("not BTF in little-endian order");
    const headerBytes = this.#u32(4);
    this.#stringsAt = headerBytes + this.#u32(16);
    const start = headerBytes + this.#u32(8);
    for (let at = start; at < start + this.#u32(12); ) at = this.#readType(at);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #string(offset: number): string {
    let text = "";
    for (let at = this.#stringsAt + offset; this.#view.getUint8(at) !== 0; at++) {
      text += String.fromCharCode(this.#view.getUint8(at));
    }
    return text;
  }

  #readType(at: number): number {
    const info = this.#u32(at + 4);
    const kind = (info >>> 24) & 0x1f;
    const members = info & 0xffff;
    const type = {
      kind,
      name: this.#string(this.#u32(at)),
      members,
      hasBitfields: info >>> 31 === 1,
      sizeOrType: this.#u32(at + 8),
      tail: at + 12,
    };
    this.#types.push(type);
    const tail = TAIL.get(kind) ?? { fixed: 0, each: 0 };
    return at + 12 + tail.fixed + tail.each * members;
  }

  #resolve(id: number): BtfType | undefined {
    let type = this.#types[id];
    for (let depth = 0; type !== undefined && ALIASES.has(type.kind); depth++) {
      if (depth === MAX_DEPTH) return undefined;
      type = this.#types[type.sizeOrType];
    }
    return type;
  }

  #sizeOf(id: number, depth = 0): number {
    const type = this.#resolve(id);
    if (type === undefined || depth === MAX_DEPTH) return -1;
    if (SIZED.has(type.kind)) return type.sizeOrType;
    if (type.kind === KIND.PTR) return POINTER_BYTES;
    if (type.kind === KIND.ARRAY) return this.#u32(type.tail + 8) * this.#sizeOf(this.#u32(type.tail), depth + 1);
    return -1;
  }

  /** The struct with this type id, or undefined when it is none. */
  structOf(id: number): StructLayout | undefined {
    const type = this.#resolve(id);
    if (type?.kind !== KIND.STRUCT) return undefined;
    const fields = Array.from({ length: type.members }, (_, index) => {
      const at = type.tail + 12 * index;
      const bits = this.#u32(at + 8) & (type.hasBitfields ? 0xffffff : 0xffffffff);
      return { name: this.#string(this.#u32(at)), offset: bits / 8, sizeBytes: this.#sizeOf(this.#u32(at + 4)) };
    });
    return { name: type.name, sizeBytes: type.sizeOrType, fields };
  }

  /** Type id of the struct of this name, or 0 when there is none. */
  structId(name: string): number {
    return Math.max(
      0,
      this.#types.findIndex((type) => type.kind === KIND.STRUCT && type.name === name),
    );
  }

  /** The enum of this name (up to 32 bits wide), or undefined. */
  enumNamed(name: string): EnumLayout | undefined {
    const type = this.#types.find((candidate) => candidate.kind === KIND.ENUM && candidate.name === name);
    if (type === undefined) return undefined;
    const values = Array.from({ length: type.members }, (_, index) => {
      const at = type.tail + 8 * index;
      return { name: this.#string(this.#u32(at)), value: this.#u32(at + 4) };
    });
    return { name, values };
  }
}

/** How the struct with this type id differs from `expected`, in one line, or undefined when it does not. */
export function structDifference(btf: Btf, id: number, expected: StructLayout): string | undefined {
  const found = btf.structOf(id);
  if (found === undefined) return `struct ${expected.name} is expected, but the object has no struct there`;
  if (found.name !== expected.name) return `struct ${expected.name} is expected, but the object has ${found.name}`;
  if (found.sizeBytes !== expected.sizeBytes) {
    return `struct ${expected.name} has ${found.sizeBytes} bytes in the object, ${expected.sizeBytes} are expected`;
  }
  return rowDifference(`struct ${expected.name}`, found.fields.map(fieldText), expected.fields.map(fieldText));
}

/** The same for a struct that only its name leads to. */
export function namedStructDifference(btf: Btf, expected: StructLayout): string | undefined {
  const id = btf.structId(expected.name);
  if (id === 0) return `struct ${expected.name} is expected, but the object has none`;
  return structDifference(btf, id, expected);
}

/** The same for an enum. */
export function enumDifference(btf: Btf, expected: EnumLayout): string | undefined {
  const found = btf.enumNamed(expected.name);
  if (found === undefined) return `enum ${expected.name} is expected, but the object has none`;
  return rowDifference(`enum ${expected.name}`, found.values.map(valueText), expected.values.map(valueText));
}

function fieldText(field: StructLayout["fields"][number]): string {
  return `${field.name} at ${field.offset} of ${field.sizeBytes} bytes`;
}

function valueText(value: EnumLayout["values"][number]): string {
  return `${value.name} = ${value.value}`;
}

function rowDifference(what: string, found: readonly string[], expected: readonly string[]): string | undefined {
  for (let row = 0; row < Math.max(found.length, expected.length); row++) {
    if (found[row] === expected[row]) continue;
    return `${what} has ${found[row] ?? "nothing more"} in the object, ${expected[row] ?? "nothing more"} is expected`;
  }
  return undefined;
}
