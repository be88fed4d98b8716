/**
 * Settings of a program: one zod schema is the flags, their checks and their page in docs/SETTINGS.md. A flag is the setting's name in
 * kebab case: `pageSize` is `--page-size N`. Everything is checked before anything is touched.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { clusterNameFault, isClusterId } from "../model/cluster.ts";
import { LOG_LEVELS } from "./log.ts";
import { messageOf, UserError } from "./user-error.ts";

/** A duration in milliseconds, at least 1. */
export const durationMs = z.coerce.number().int().min(1);
/** A count, at least 1. */
export const count = z.coerce.number().int().min(1);
/** A lease's time to live: etcd takes whole seconds. */
export const ttlSeconds = z.coerce.number().int().min(1).max(86_400);

const listenAddress = z.string().refine((text) => /^(\[[0-9a-fA-F:]+\]|[0-9.]+):\d{1,5}$/.test(text), {
  message: "must be ADDRESS:PORT, such as 127.0.0.1:9880 or [::1]:9880",
});

/** Settings that every program has. */
export const commonSettings = {
  cluster: z
    .string()
    .superRefine((name, context) => {
      const fault = clusterNameFault(name);
      if (fault) context.addIssue({ code: "custom", message: fault });
    })
    .describe("Name of the own cluster."),
  clusterId: z.coerce
    .number()
    .refine(isClusterId, { message: "must be a whole number from 1 to 255" })
    .describe("Id of the own cluster, unique in the mesh."),
  etcdConfig: z.string().min(1).describe("File that says how to reach the local etcd, in Cilium's etcd client YAML."),
  runDir: z.string().min(1).default("/run/bulkhead").describe("Folder of the admin sockets."),
  listen: listenAddress.optional().describe("Address of /healthz, /readyz and /metrics; none when absent."),
  logLevel: z.enum(LOG_LEVELS).default("info").describe("Least level that is logged."),
  etcdTimeoutMs: durationMs.default(5_000).describe("Deadline of one etcd call."),
  etcdKeepaliveMs: durationMs.default(10_000).describe("Idle time after which an etcd connection is probed."),
  etcdKeepaliveTimeoutMs: durationMs
    .default(5_000)
    .describe("Wait for the answer to such a probe before the connection counts as dead."),
  backoffBaseMs: durationMs.default(200).describe("Shortest wait before trying again (decorrelated jitter)."),
  backoffCapMs: durationMs.default(30_000).describe("Longest wait before trying again."),
} as const;

export function flagOf(setting: string): string {
  return `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

type Shape = Readonly<Record<string, z.ZodType>>;

function readFlags(program: string, shape: Shape, argv: readonly string[]): Record<string, unknown> {
  const options: Record<string, { type: "string" }> = {};
  for (const setting of Object.keys(shape)) options[flagOf(setting).slice(2)] = { type: "string" };
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false });
    return Object.fromEntries(Object.keys(shape).map((setting) => [setting, values[flagOf(setting).slice(2)]]));
  } catch (error) {
    throw new UserError(`bulkhead ${program}: ${messageOf(error)}; \`bulkhead ${program} --help\` lists the settings`);
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
  throw new UserError(`bulkhead ${program}: ${lines.join("; ")}`);
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
