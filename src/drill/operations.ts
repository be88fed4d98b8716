/** A fault as the list of what is done, and of what undoes it. The list is printed by a dry run, kept in the journal, and carried out: one list. */
import type { ContainerAction } from "../docker/control.ts";
import { FULL_WEIGHT } from "../model/drain.ts";
import { DESTRUCTIVE, type Fault, MARKER_KEY } from "../model/drill.ts";
import type { Target } from "./allow-list.ts";

/** Each one of an undo is harmless when it was never needed, or is done twice. */
export type Operation = HostOperation | ContainerOperation;

/**
 * On the one container of an engine that carries the label `NAME=VALUE`. `required`: it must be there, and so that it can be done; else whatever
 * is not there needs nothing.
 */
export type ContainerOperation =
  | {
      readonly kind: "container";
      readonly label: string;
      readonly action: ContainerAction;
      readonly required: boolean;
    }
  /** In its network, by a container of the same image: that network is gone when it does not run. */
  | { readonly kind: "beside"; readonly label: string; readonly argv: readonly string[]; readonly required: boolean };

export type HostOperation =
  /** `command` is part of the process's command line: a pid that was given to another is left alone. `mustLive`: else fail. */
  | {
      readonly kind: "signal";
      readonly pidFile: string;
      readonly command: string;
      readonly signal: "SIGKILL" | "SIGSTOP" | "SIGCONT";
      readonly mustLive: boolean;
      /** What it started too. */
      readonly group?: true;
    }
  /** Unless it runs. Its pid is written to the file. */
  | { readonly kind: "start"; readonly pidFile: string; readonly command: string; readonly argv: readonly string[] }
  | { readonly kind: "command"; readonly argv: readonly string[] }
  | { readonly kind: "move"; readonly from: string; readonly to: string }
  | { readonly kind: "copy"; readonly from: string; readonly to: string }
  /** Puts what was moved aside back, if anything was; the process that uses it is ended before. */
  | {
      readonly kind: "put-back";
      readonly aside: string;
      readonly path: string;
      readonly pidFile: string;
      readonly command: string;
    }
  | { readonly kind: "marker"; readonly endpoint: string }
  | { readonly kind: "alarm"; readonly endpoint: string; readonly raise: boolean }
  /** Removes whatever is pinned in a folder of a bpf file system: maps, programs and links are gone, once nobody has them open. */
  | { readonly kind: "unpin"; readonly folder: string }
  /** Refuses a cluster that somebody drains already: it is not for a drill to return it. */
  | { readonly kind: "undrained"; readonly socket: string }
  /** Orders the weight of the exporter's cluster. */
  | { readonly kind: "weight"; readonly socket: string; readonly target: number; readonly overMs: number };

export interface FaultPlan {
  readonly does: readonly Operation[];
  readonly undoes: readonly Operation[];
}

export interface FaultScope {
  /** Unique for each fault: names what is made. */
  readonly id: string;
  /** drilld's own. */
  readonly folder: string;
  /** Of a drain. */
  readonly overMs?: number;
}

export function planFault(fault: Fault, target: Target, scope: FaultScope): FaultPlan {
  const { does, undoes } = PLANS[fault](target, scope);
  const marker = DESTRUCTIVE.has(fault) && target.etcd ? [markerOf(target.etcd)] : [];
  return { does: [...marker, ...does], undoes };
}

const markerOf = ({ endpoint }: { readonly endpoint: string }): Operation => ({ kind: "marker", endpoint });

type Plan = (target: Target, scope: FaultScope) => FaultPlan;

const PLANS: Readonly<Record<Fault, Plan>> = {
  kill: (target) => ({ does: [signal(target, "SIGKILL", true)], undoes: [start(target)] }),
  freeze: (target) => ({ does: [signal(target, "SIGSTOP", true)], undoes: [signal(target, "SIGCONT", false)] }),
  thaw: (target) => ({ does: [signal(target, "SIGCONT", true)], undoes: [] }),
  start: (target) => ({ does: [start(target, true)], undoes: [signal(target, "SIGKILL", false)] }),
  blackhole: (target) => ({
    does: [where(target, ["nft", dropRules(target.device ?? NO_DEVICE)], true)],
    undoes: [where(target, ["nft", NO_RULES], false)],
  }),
  "link-down": ({ device = NO_DEVICE }) => ({
    does: [link(device, "down")],
    undoes: [link(device, "up")],
  }),
  flap: ({ device = NO_DEVICE }, { id, folder }) => {
    const flapper = { pidFile: `${folder}/${id}.pid`, command: id };
    const turn = (way: string, seconds: string): string => `ip link set ${device.name} ${way}; sleep ${seconds}`;
    const loop = `while :; do ${turn("down", DOWN_SECONDS)}; ${turn("up", UP_SECONDS)}; done`;
    const argv = inNetns(device.netns, ["sh", "-c", loop, id]);
    return {
      does: [{ kind: "start", ...flapper, argv }],
      undoes: [{ kind: "signal", ...flapper, signal: "SIGKILL", mustLive: false, group: true }, link(device, "up")],
    };
  },
  wipe: (target, { id }) => replaced(target, id, []),
  "restore-old": (target, { id }) => {
    const { data, backup } = etcdOf(target);
    return replaced(target, id, [{ kind: "copy", from: backup, to: data }]);
  },
  quota: (target) => {
    const { endpoint } = etcdOf(target);
    return {
      does: [{ kind: "alarm", endpoint, raise: true }],
      undoes: [{ kind: "alarm", endpoint, raise: false }],
    };
  },
  reboot: (target) => ({
    does: [signal(target, "SIGKILL", true), { kind: "unpin", folder: target.pins ?? "" }],
    undoes: [start(target)],
  }),
  drain: ({ exporter }, { overMs = 0 }) => {
    const { socket } = exporter ?? { socket: "" };
    return {
      does: [
        { kind: "undrained", socket },
        { kind: "weight", socket, target: 0, overMs },
      ],
      // At once: whoever undoes may have reason to hurry.
      undoes: [{ kind: "weight", socket, target: FULL_WEIGHT, overMs: 0 }],
    };
  },
};

const DOWN_SECONDS = "0.4";
const UP_SECONDS = "1.1";
const TABLE = "netdev bulkhead_drill";
/** Works whether or not there is such a table. */
const NO_RULES = `add table ${TABLE}; delete table ${TABLE}`;
type Device = NonNullable<Target["device"]>;
const NO_DEVICE: Device = { name: "none" };

function dropRules({ name, port }: Device): string {
  const what = port === undefined ? "drop" : `tcp dport ${port} drop`;
  const chain = `{ type filter hook ingress device "${name}" priority 0; policy accept; }`;
  return `${NO_RULES}; add table ${TABLE}; add chain ${TABLE} in ${chain}; add rule ${TABLE} in ${what}`;
}

function link({ netns: space, name }: Device, way: "up" | "down"): Operation {
  return netns(space, ["ip", "link", "set", name, way]);
}

export function inNetns(space: string | undefined, argv: readonly string[]): readonly string[] {
  return space === undefined ? argv : ["nsenter", `--net=${space}`, "--", ...argv];
}

/** In the network of the target's device. */
function where({ container: label, device }: Target, argv: readonly string[], required: boolean): Operation {
  return label === undefined ? netns(device?.netns, argv) : { kind: "beside", label, argv, required };
}

function netns(space: string | undefined, argv: readonly string[]): Operation {
  return { kind: "command", argv: inNetns(space, argv) };
}

/** The allow-list was checked: what a fault needs is there. */
function processOf({ process }: Target): { pidFile: string; command: string; start: readonly string[] } {
  return { pidFile: process?.pidFile ?? "", command: process?.command ?? "", start: process?.start ?? [] };
}

function etcdOf({ etcd }: Target): { endpoint: string; data: string; backup: string } {
  return { endpoint: etcd?.endpoint ?? "", data: etcd?.data ?? "", backup: etcd?.backup ?? "" };
}

/** What a signal is to a container: its engine remembers it, and does not start again what was killed. */
const ACTIONS = { SIGKILL: "kill", SIGSTOP: "pause", SIGCONT: "unpause" } as const;

function signal(target: Target, name: keyof typeof ACTIONS, mustLive: boolean): Operation {
  const { container: label } = target;
  if (label !== undefined) return { kind: "container", label, action: ACTIONS[name], required: mustLive };
  const { pidFile, command } = processOf(target);
  return { kind: "signal", pidFile, command, signal: name, mustLive };
}

function start(target: Target, required = false): Operation {
  const { container: label } = target;
  if (label !== undefined) return { kind: "container", label, action: "start", required };
  const { pidFile, command, start: argv } = processOf(target);
  return { kind: "start", pidFile, command, argv };
}

/** Other data for a while: the own are kept aside and put back. */
function replaced(target: Target, id: string, filled: readonly Operation[]): FaultPlan {
  const { data: path } = etcdOf(target);
  const { pidFile, command } = processOf(target);
  const aside = `${path}.${id}`;
  return {
    does: [signal(target, "SIGKILL", true), { kind: "move", from: path, to: aside }, ...filled, start(target)],
    undoes: [{ kind: "put-back", aside, path, pidFile, command }, start(target)],
  };
}

/** As a dry run prints it. */
export function operationText(operation: Operation): string {
  switch (operation.kind) {
    case "signal":
      return `send ${operation.signal} to the process of ${operation.pidFile}, if it is ${operation.command}`;
    case "start":
      return `start, unless the process of ${operation.pidFile} is ${operation.command}: ${operation.argv.join(" ")}`;
    case "command":
      return `run: ${operation.argv.join(" ")}`;
    case "move":
      return `move ${operation.from} to ${operation.to}`;
    case "copy":
      return `copy ${operation.from} to ${operation.to}`;
    case "put-back":
      return `if there is ${operation.aside}: end the process of ${operation.pidFile}, and put it back as ${operation.path}`;
    case "marker":
      return `refuse, unless the etcd at ${operation.endpoint} has the key ${MARKER_KEY}`;
    case "container":
      return `${operation.action} the container that carries ${operation.label}`;
    case "beside":
      return `run in the network of the container that carries ${operation.label}: ${operation.argv.join(" ")}`;
    case "alarm":
      return `${operation.raise ? "raise" : "clear"} the alarm NOSPACE of the etcd at ${operation.endpoint}`;
    case "unpin":
      return `remove what is pinned in ${operation.folder}, if that is a bpf file system`;
    case "undrained":
      return `refuse, if the cluster of the exporter at ${operation.socket} is drained already`;
    case "weight": {
      const { target, overMs, socket } = operation;
      const whose = `the cluster of the exporter at ${socket}`;
      return target === FULL_WEIGHT ? `return ${whose}` : `drain ${whose} to weight ${target} over ${overMs / 1_000} s`;
    }
  }
}
