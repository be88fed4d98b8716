/** The table: what is heard of a remote's state, and whether its workloads can be reached, make one decision. Pure. */
import type { ControlPlane, DataPath, HealthDecision } from "../model/health.ts";
import type { PeerGrade } from "../model/status.ts";

/** Grades that are not told, or were not proven, say nothing: they never count as silence. */
const CONTROL_PLANE: Readonly<Record<PeerGrade, ControlPlane>> = {
  fresh: "talking",
  suspect: "talking",
  stale: "silent",
  unproven: "unknown",
  unknown: "unknown",
};

export function controlPlaneOf(grade: PeerGrade): ControlPlane {
  return CONTROL_PLANE[grade];
}

const TABLE: Readonly<Record<ControlPlane, Readonly<Record<DataPath, HealthDecision>>>> = {
  talking: { alive: "normal", unknown: "normal", dead: "demote" },
  unknown: { alive: "normal", unknown: "normal", dead: "demote" },
  silent: { alive: "keep", unknown: "keep", dead: "take-out" },
};

/** @param suspectsItself then a data path that looks dead says nothing of the remote. */
export function decide(control: ControlPlane, path: DataPath, suspectsItself: boolean): HealthDecision {
  return TABLE[control][suspectsItself && path === "dead" ? "unknown" : path];
}
