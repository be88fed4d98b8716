/** What happened in the mesh, told once and kept nowhere but in the stream of events: never state, never a command. docs/WIRE.md has the schema. */

export const EVENT_VERSION = 1;

export const EVENT_KINDS = [
  "breaker",
  "grade",
  "health",
  "hold",
  "rejection",
  "leader",
  "restart",
  "problem",
  "drain",
  "removal",
  "drill",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** Least first. */
export const SEVERITIES = ["info", "warning", "error"] as const;
export type Severity = (typeof SEVERITIES)[number];

export type EventDetails = Readonly<Record<string, string | number | boolean>>;

/** What whoever saw it says of it. */
export interface EventDraft {
  readonly kind: EventKind;
  /** The cluster that it is about, when that is another one. */
  readonly remote?: string;
  readonly severity: Severity;
  /** One line for a person. */
  readonly line: string;
  /** The same for programs. */
  readonly details: EventDetails;
}

export interface Emitter {
  readonly cluster: string;
  readonly program: string;
  /** Which of several: the node of an agent, else the machine. */
  readonly instance: string;
}

export interface MeshEvent extends EventDraft, Emitter {
  readonly version: typeof EVENT_VERSION;
  /** `<run>-<number>`: the run of a program is unique, numbers count from 1. JetStream and readers tell repetitions by it. */
  readonly id: string;
  /** Wall clock of the emitter when it happened (RFC 3339, milliseconds). */
  readonly time: string;
  /** Events of this run that were given up before this one was sent. */
  readonly lost: number;
}

/** What a program says of its own events. */
export interface EventsStatus {
  readonly connected: boolean;
  /** Since start: made, accepted by the stream, and given up because too many waited. */
  readonly emitted: number;
  readonly sent: number;
  readonly lost: number;
  readonly waiting: number;
  /** Why the last try failed; absent once one succeeds. */
  readonly error?: string;
}

/** What a program streams of the mesh's events: one that was read, one that was refused and why, or why there is no more. */
export type EventLine =
  | { readonly sequence: number; readonly event: MeshEvent }
  | { readonly sequence: number; readonly refused: string }
  | { readonly error: string };
