/**
 * Policies are read strictly: a field that nobody knows may be one misspelt, and one that is known but not enforced would widen or narrow
 * the policy in silence. Either refuses the whole document, and so does a field without value.
 */
import type { Fields } from "./fields.ts";
import { Refusal } from "./refusal.ts";

export interface FieldSet {
  readonly known: readonly string[];
  /** Fields of the format that are not enforced -> what to do instead. */
  readonly unenforced?: ReadonlyMap<string, string>;
  /** Fields for which null is the same as absence. */
  readonly nullable?: readonly string[];
}

/** `fields`, once each of its fields is known and has a value. */
export function strict(fields: Fields, { known, unenforced, nullable }: FieldSet): Fields {
  for (const name of fields.names()) {
    const advice = unenforced?.get(name);
    if (advice !== undefined) throw refuseUnenforced(fields, name, advice);
    if (!known.includes(name)) throw fields.refusal(name, `is no field here; use one of ${known.join(", ")}`);
    if (!fields.has(name) && !nullable?.includes(name))
      throw fields.refusal(name, "has no value; write one, or leave the field out");
  }
  return fields;
}

/** An empty object when absent. */
export function strictObject(parent: Fields, name: string, set: FieldSet): Fields {
  return strict(parent.fields(name), set);
}

export function strictObjects(parent: Fields, name: string, set: FieldSet): readonly Fields[] {
  return parent.objects(name).map((fields) => strict(fields, set));
}

export function refuseUnenforced(fields: Fields, name: string, advice: string): Refusal {
  return new Refusal("unsupported", `is not enforced, so that the policy is refused as a whole; ${advice}`, [
    ...fields.path,
    name,
  ]);
}
