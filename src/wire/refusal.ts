/** How decoders say no: they throw a Refusal, and `judging` turns it into a rejection. Nothing else leaves a judge. */
import { accept, type Judged, reject } from "../model/resource.ts";

/** Reasons of rejection, fit for a metric label. docs/WIRE.md explains each. */
export const REJECTION_REASONS = [
  "too-large",
  "malformed",
  "duplicate-name",
  "folded-name",
  "wrong-key",
  "foreign-cluster",
  "wrong-cluster-id",
  "identity-range",
  "reserved-identity",
  "forbidden-address",
  "foreign-address",
  "not-allowed",
  "too-many-ranges",
  "too-wide",
  "bad-port",
  "ambiguous-labels",
  "forbidden-label",
  "no-cluster-label",
  "identity-changed",
  "parking-full",
  "unsupported",
] as const;

export type RejectionReason = (typeof REJECTION_REASONS)[number];

/** Names and indexes from the root of a document down to the place in question. */
export type Path = readonly (string | number)[];

export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly reason: RejectionReason;
  readonly path: Path;
  /** What is wrong, without the place. */
  readonly fault: string;

  constructor(reason: RejectionReason, fault: string, path: Path = []) {
    super(path.length === 0 ? fault : `${quotePath(path)}: ${fault}`);
    this.reason = reason;
    this.fault = fault;
    this.path = path;
  }
}

/** Runs a decoder of foreign bytes. `key` names them in the rejection. */
export function judging<T>(key: string, decode: () => T): Judged<T> {
  try {
    return accept(decode());
  } catch (error) {
    if (error instanceof Refusal) return reject(key, error.reason, error.message);
    throw error;
  }
}

/** The first check of every decoder: nothing is read of a value that is too long. */
export function limitBytes(bytes: Uint8Array, maxBytes: number): void {
  if (bytes.length > maxBytes) throw new Refusal("too-large", `has ${bytes.length} bytes; the limit is ${maxBytes}`);
}

const LONGEST_QUOTE = 80;
const LONGEST_LINE = 300;

/** Foreign text for a line that a person reads: bounded, in quotes, and nothing but printable ASCII. */
export function quote(text: string): string {
  const escaped = text
    .slice(0, LONGEST_QUOTE + 1)
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"');
  return `"${printable(escaped, LONGEST_QUOTE)}"`;
}

/** The first line of a message of others, bounded and printable. */
export function oneLine(text: string): string {
  return printable(text.split("\n", 1)[0] ?? "", LONGEST_LINE);
}

/** At most `longest` characters as they are printed, and three dots where there were more. */
function printable(text: string, longest: number): string {
  let out = "";
  for (let index = 0; index < text.length && out.length <= longest; index++) {
    const unit = text.charCodeAt(index);
    out += unit >= 0x20 && unit < 0x7f ? text[index] : `\\u${unit.toString(16).padStart(4, "0")}`;
  }
  return out.length > longest ? `${out.slice(0, longest)}...` : out;
}

/** `spec.ports[1].name`, bounded and printable. */
function quotePath(path: Path): string {
  const steps = path.map((step, index) => (typeof step === "number" ? `[${step}]` : index === 0 ? step : `.${step}`));
  return printable(steps.join(""), LONGEST_QUOTE);
}
