/**
 * Settings of a program: one zod schema is the flags, their checks and their page in docs/SETTINGS.md. A flag is the setting's name in
 * kebab case: `pageSize` is `--page-size N`. Everything is checked before anything is touched.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { LOG_LEVELS } from "./log.ts";
import { messageOf, UserError } from "./user-error.ts";

/** A duration in milliseconds, at least 1. */
export const durationMs = z.coerce.number().int().min(1);
/** A count, at least 1. */
export const count = z.coerce.number().int().min(1);
/** A lease's time to live: etcd takes whole seconds. */
export const ttlSeconds = z.coerce.number().int().min(1).max(86_400);

/** Any text but the empty one. */
export const text = z.string().min(1);
export const listenAddress = z.string().refine((given) => /^(\[[0-9a-fA-F:]+\]|[0-9.]+):\d{1,5}$/.test(given), {
  message: "must be ADDRESS:PORT, such as 127.0.0.1:9880 or [::1]:9880",
});
export const logLevel = z.enum(LOG_LEVELS);

/** `true` or `false`. */
export const yesNo = z
  .enum(["true", "false"], { message: "must be true or false" })
  .transform((given) => given === "true");

/** One of a few words. */
export function oneOf<const W extends readonly [string, ...string[]]>(words: W) {
  return z.enum(words, { message: `must be one of ${words.join(", ")}` });
}

/** Text that `faultOf` finds nothing wrong with. */
export function checkedText(faultOf: (given: string) => string | undefined) {
  return z.string().superRefine((given, context) => {
    const message = faultOf(given);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });
}

/** A whole number between two bounds, inclusive. */
export function wholeNumber(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`;
  return z.coerce
    .number({ message })
    .refine((given) => Number.isInteger(given) && given >= least && given <= most, { message });
}

/** The settings of a program. */
export function settingsSchema<S extends Shape>(shape: S): z.ZodObject<S, z.core.$strict> {
  return z.strictObject(shape);
}

export type SettingsOf<S extends z.ZodType> = z.output<S>;

type Shape = Readonly<Record<string, z.ZodType>>;

export function flagOf(setting: string): string {
  return `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function readFlags(program: string, shape: Shape, argv: readonly string[]): Record<string, unknown> {
  const options: Record<string, { type: "string" }> = {};
  for (const setting of Object.keys(shape)) options[flagOf(setting).slice(2)] = { type: "string" };
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false });
    return Object.fromEntries(Object.keys(shape).map((setting) => [setting, values[flagOf(setting).slice(2)]]));
  } catch (error) {
    throw new UserError(`${messageOf(error)}; \`bulkhead ${program} --help\` lists the settings`);
  }
}

function lineOf(issue: z.core.$ZodIssue, given: Record<string, unknown>): string {
  const setting = String(issue.path[0] ?? "");
  const flag = flagOf(setting);
  if (given[setting] === undefined) return `${flag} is missing`;
  return `${flag} ${JSON.stringify(given[setting])}: ${issue.message}`;
}

/** Checks the flags of a program. Throws a UserError of one line that names every bad flag. */
export function readSettings<S extends Shape>(
  program: string,
  schema: z.ZodObject<S>,
  argv: readonly string[],
): z.output<z.ZodObject<S>> {
  const given = readFlags(program, schema.shape, argv);
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => lineOf(issue, given));
  throw new UserError(lines.join("; "));
}

/** One setting as people read it: for --help and docs/SETTINGS.md. */
export interface SettingLine {
  readonly flag: string;
  readonly default: string;
  readonly description: string;
}

export function describeSettings(schema: z.ZodObject<Shape>): readonly SettingLine[] {
  return Object.entries(schema.shape).map(([setting, type]) => {
    const absent = type.safeParse(undefined);
    const fallback = absent.success ? (absent.data === undefined ? "none" : String(absent.data)) : "required";
    return { flag: flagOf(setting), default: fallback, description: type.description ?? "" };
  });
}

/** What `bulkhead <program> --help` prints. */
export function helpText(program: string, schema: z.ZodObject<Shape>): string {
  const rows = describeSettings(schema).map(
    (line) => `  ${line.flag.padEnd(30)} ${line.description} (${line.default})`,
  );
  return `Usage: bulkhead ${program} [settings]\n\nSettings (with their defaults):\n${rows.join("\n")}\n`;
}
