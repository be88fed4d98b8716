/** Schemas of what goes over HTTP (zod): one declaration checks a body, describes itself as JSON Schema, and holds a type to it. */
import { z } from "zod";
import { UserError } from "./user-error.ts";

export type Schema<T = unknown> = z.ZodType<T>;

export const text = z.string();
export const unknown = z.unknown();
export const flag = z.boolean();
/** Of a member that says yes or is absent. */
export const yes = z.literal(true);
export const number = z.number();
/** A whole number, at least 0. */
export const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/** A whole number from 0 to `most`. */
export const upTo = (most: number): z.ZodNumber => whole.max(most);

export function word<const W extends string>(...words: readonly [W, ...W[]]): z.ZodEnum<{ [K in W]: K }> {
  return z.enum(words);
}

/** One of these shapes. */
export function either<const S extends readonly [z.ZodType, ...z.ZodType[]]>(...shapes: S): z.ZodUnion<S> {
  return z.union(shapes);
}

export function listOf<T extends z.ZodType>(item: T): z.ZodReadonly<z.ZodArray<T>> {
  return z.array(item).readonly();
}

/** At least one. */
export function someOf<T extends z.ZodType>(item: T): z.ZodReadonly<z.ZodArray<T>> {
  return z.array(item).min(1).readonly();
}

/** Any names, one kind of value. */
export function mapOf<T extends z.ZodType>(value: T): z.ZodReadonly<z.ZodRecord<z.ZodString, T>> {
  return z.record(z.string(), value).readonly();
}

/** These members and no others. */
export function record<S extends z.core.$ZodShape>(shape: S): z.ZodReadonly<z.ZodObject<S, z.core.$strict>> {
  return z.strictObject(shape).readonly();
}

/** Of a member: it may be absent. */
export function maybe<T extends z.ZodType>(schema: T): z.ZodExactOptional<T> {
  return z.exactOptional(schema);
}

/** @throws UserError that names the first member that is wrong. */
export function parseAs<T>(schema: Schema<T>, given: unknown, what: string): T {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${[what, ...(issue?.path ?? [])].join(".")}: ${issue?.message ?? "is wrong"}`);
}

/** As OpenAPI 3.1 embeds it. */
export function jsonSchemaOf(schema: Schema): Readonly<Record<string, unknown>> {
  const { $schema, ...described } = z.toJSONSchema(schema);
  return described;
}

/** What is wrong with the first wrong member, and where; or the value. */
export function judgeAs<T>(
  schema: Schema<T>,
  given: unknown,
): { readonly value: T } | { readonly path: readonly (string | number)[]; readonly fault: string } {
  const result = schema.safeParse(given);
  if (result.success) return { value: result.data };
  const [issue] = result.error.issues;
  const path = (issue?.path ?? []).map((step) => (typeof step === "number" ? step : String(step)));
  return { path, fault: issue?.message ?? "is wrong" };
}

/** Text in a form that `read` understands; it returns undefined for what it does not. */
export function formed<T>(read: (given: string) => T | undefined, message: string) {
  return z.string({ message }).transform((given, context) => {
    const value = read(given);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
}

/** A whole number between two bounds, inclusive. */
export function wholeFrom(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`;
  return z.int({ message }).min(least, { message }).max(most, { message });
}

/** A member that may be left out, and what it is then. */
export function otherwise<T extends z.ZodType>(schema: T, value: z.output<T>) {
  return schema.prefault(value as z.input<T>);
}
