/**
 * `cilium/state/bulkhead/v1/<cluster>/drain`, and its copy in the caches of others: what part of new connections goes to the cluster's backends.
 * No moment is in it, for clocks of clusters are not compared: its exporter writes it anew at each step.
 */
import { type Drain, FULL_WEIGHT, NO_DRAIN, type Ramp } from "../model/drain.ts";
import type { Judged } from "../model/resource.ts";
import { Fields, Shape } from "./fields.ts";
import { encodeGoJson, sortedMap } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { isDnsLabel, isDnsSubdomain } from "./names.ts";
import { judging, limitBytes, Refusal } from "./refusal.ts";

const VERSION = 1;
const MAX_BYTES = 64 * 1024;
/** So many of the usual names fit. */
export const MAX_DRAINED_SERVICES = 200;
export const MAX_STEP_MS = 24 * 3_600_000;

const SHAPE = new Shape(["version", "all", "services"]);
const RAMP_SHAPE = new Shape(["weight", "target", "step", "stepMs"]);

/** Empty, for a marker that a person put by hand, reads as NO_DRAIN. */
export function encodeDrain({ all, services }: Drain): Uint8Array {
  const ramps = new Map([...services].map(([name, ramp]) => [name, plain(ramp)]));
  return encodeGoJson({ version: VERSION, all: all && plain(all), services: sortedMap(ramps) });
}

const plain = ({ weight, target, step, stepMs }: Ramp) => ({ weight, target, step, stepMs });

/** @param key names the value in a rejection. */
export function judgeDrain(key: string, bytes: Uint8Array): Judged<Drain> {
  return judging(key, () => {
    limitBytes(bytes, MAX_BYTES);
    if (bytes.length === 0) return NO_DRAIN;
    const fields = new Fields(parseJson(bytes), [], SHAPE);
    const version = fields.whole("version", Number.MAX_SAFE_INTEGER);
    if (version !== VERSION) throw new Refusal("unsupported", `version ${version} is not known`, ["version"]);
    const all = fields.has("all") ? { all: rampOf(fields, "all") } : {};
    return { ...all, services: servicesOf(fields.fields("services")) };
  });
}

function servicesOf(fields: Fields): ReadonlyMap<string, Ramp> {
  const names = [...fields.names()];
  if (names.length > MAX_DRAINED_SERVICES) {
    throw new Refusal("too-large", `has ${names.length} services; the limit is ${MAX_DRAINED_SERVICES}`, fields.path);
  }
  return new Map(names.map((name) => [name, rampOf(fields, name, isServiceName(name))]));
}

function isServiceName(text: string): boolean {
  const [namespace = "", name = "", ...more] = text.split("/");
  return isDnsLabel(namespace) && isDnsSubdomain(name) && more.length === 0;
}

function rampOf(parent: Fields, name: string, named = true): Ramp {
  if (!named) throw parent.refusal(name, "is no namespace/name");
  const fields = parent.fields(name, RAMP_SHAPE);
  const within = (field: keyof Ramp, least: number, most: number): number => {
    const value = fields.has(field) ? fields.whole(field, most) : least - 1;
    if (value < least) throw fields.refusal(field, `must be a whole number from ${least} to ${most}`);
    return value;
  };
  return {
    weight: within("weight", 0, FULL_WEIGHT),
    target: within("target", 0, FULL_WEIGHT),
    step: within("step", 1, FULL_WEIGHT),
    stepMs: within("stepMs", 1, MAX_STEP_MS),
  };
}
