/** The shape of a map as the programs and we must both see it. The kernel door compares it with the object's BTF before loading. */

export interface FieldLayout {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface StructLayout {
  /** The C struct's name. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly fields: readonly FieldLayout[];
}

/** A C enum with all its enumerators. */
export interface EnumLayout {
  readonly name: string;
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

export interface MapLayout {
  readonly name: string;
  readonly key: StructLayout;
  readonly value: StructLayout;
}

/** An array of maps: each slot may hold a map of this shape. */
export interface FamilyLayout {
  readonly name: string;
  /** Of the maps inside. */
  readonly key: StructLayout;
  readonly value: StructLayout;
  /** Capacity of each map inside. */
  readonly maxEntries: number;
}
