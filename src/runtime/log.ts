/** Structured logs (pino), one JSON line each, on standard error: standard output belongs to the person. */
import pino from "pino";

export type Logger = pino.Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogSettings {
  readonly program: string;
  readonly cluster: string;
  readonly level: LogLevel;
}

export function createLogger({ program, cluster, level }: LogSettings): Logger {
  const base = { program, cluster, pid: process.pid };
  return pino({ level, base, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }));
}

export const silentLogger: Logger = pino({ level: "silent" });
