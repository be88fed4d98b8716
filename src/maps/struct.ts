/** C structs as bytes: fields in order at their natural alignment, padding explicit, last and zero. Little-endian hosts only. */
import assert from "node:assert/strict";
import type { FieldLayout, StructLayout } from "../model/layout.ts";

/** Bytes are written one by one: a DataView on each of a million small arrays costs ten times as much. */
export interface Field<T> {
  readonly sizeBytes: number;
  readonly alignBytes: number;
  write(bytes: Uint8Array, offset: number, value: T): void;
  read(bytes: Uint8Array, offset: number): T;
}

/** @param shifts how far each byte in turn stands from the value's low end, in bits. */
function unsigned(...shifts: readonly number[]): Field<number> {
  const sizeBytes = shifts.length;
  const limit = 256 ** sizeBytes;
  return {
    sizeBytes,
    alignBytes: sizeBytes,
    write(bytes, offset, value) {
      if (!Number.isInteger(value) || value < 0 || value >= limit)
        assert.fail(`${value} does not fit ${sizeBytes} bytes`);
      for (let index = 0; index < sizeBytes; index++) bytes[offset + index] = value >>> (shifts[index] ?? 0);
    },
    read(bytes, offset) {
      let value = 0;
      for (let index = 0; index < sizeBytes; index++) value |= (bytes[offset + index] ?? 0) << (shifts[index] ?? 0);
      return value >>> 0;
    },
  };
}

export const u8: Field<number> = unsigned(0);
export const u16: Field<number> = unsigned(0, 8);
export const u32: Field<number> = unsigned(0, 8, 16, 24);
/** Network byte order, for ports. */
export const be16: Field<number> = unsigned(8, 0);

export const u64: Field<bigint> = {
  sizeBytes: 8,
  alignBytes: 8,
  write(bytes, offset, value) {
    if (BigInt.asUintN(64, value) !== value) assert.fail(`${value} does not fit 8 bytes`);
    u32.write(bytes, offset, Number(value & 0xffffffffn));
    u32.write(bytes, offset + 4, Number(value >> 32n));
  },
  read: (bytes, offset) => BigInt(u32.read(bytes, offset)) | (BigInt(u32.read(bytes, offset + 4)) << 32n),
};

/** `length` bytes made of 32-bit words, such as an address. Reading copies. */
function wordArray(length: number): Field<Uint8Array> {
  return {
    sizeBytes: length,
    alignBytes: 4,
    write(bytes, offset, value) {
      if (value.length !== length) assert.fail(`${value.length} bytes instead of ${length}`);
      for (let index = 0; index < length; index++) bytes[offset + index] = value[index] ?? 0;
    },
    read(bytes, offset) {
      const value = new Uint8Array(length);
      for (let index = 0; index < length; index++) value[index] = bytes[offset + index] ?? 0;
      return value;
    },
  };
}

/** 16 bytes, v4 as ::ffff:a.b.c.d. */
export const address: Field<Uint8Array> = wordArray(16);

/** A struct inside a struct. */
export function nested<T>({ layout, encode, decode }: Struct<T>, alignBytes: number): Field<T> {
  const { sizeBytes } = layout;
  return {
    sizeBytes,
    alignBytes,
    write: (bytes, offset, value) => bytes.set(encode(value), offset),
    read: (bytes, offset) => decode(bytes.subarray(offset, offset + sizeBytes)),
  };
}

type Fields<T> = { readonly [Name in keyof T]: Field<T[Name]> };

/** How values of one C struct are written and read. */
export interface Struct<T> {
  readonly layout: StructLayout;
  /** Fresh bytes of exactly the struct's size. A value out of range is a programmer's mistake. */
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

type Placed<T> = { readonly name: keyof T & string; readonly field: Field<T[keyof T]>; readonly offset: number };

function place<T>(fields: Fields<T>): Placed<T>[] {
  let offset = 0;
  return Object.keys(fields).map((key) => {
    const name = key as keyof T & string;
    const placed = { name, field: fields[name], offset };
    assert.equal(offset % placed.field.alignBytes, 0, `${name} is not aligned: declare the padding`);
    offset += placed.field.sizeBytes;
    return placed;
  });
}

/** Declares a struct: C name, C field names in order, and the bytes of the trailing `pad` field. */
export function struct<T extends object>(name: string, fields: Fields<T>, padBytes = 0): Struct<T> {
  const placed = place(fields);
  const end = placed.reduce((size, { field }) => size + field.sizeBytes, 0);
  const sizeBytes = end + padBytes;
  const rows: FieldLayout[] = placed.map((p) => ({
    name: cName(p.name),
    offset: p.offset,
    sizeBytes: p.field.sizeBytes,
  }));
  if (padBytes > 0) rows.push({ name: "pad", offset: end, sizeBytes: padBytes });
  return {
    layout: { name, sizeBytes, fields: rows },
    encode(value) {
      const bytes = new Uint8Array(sizeBytes);
      for (const { name: key, field, offset } of placed) field.write(bytes, offset, value[key]);
      return bytes;
    },
    decode(bytes) {
      if (bytes.length !== sizeBytes) assert.fail(`${name} has ${sizeBytes} bytes, not ${bytes.length}`);
      const value: Partial<Record<keyof T, T[keyof T]>> = {};
      for (const { name: key, field, offset } of placed) value[key] = field.read(bytes, offset);
      return value as T;
    },
  };
}

/** `backendId` is `backend_id` in C. */
function cName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
