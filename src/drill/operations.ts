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
      /** A file or folder of this machine: nothing is done unless it is there. */
      readonly ifThere?: string;
    }
  /**
   * In its network, by a container of the same image: that network is gone when it does not run. `stays`: until one is killed that carries this
   * label; absent: until the command ends.
   */
  | {
      readonly kind: "beside";
      readonly label: string;
      readonly argv: readonly string[];
      readonly required: boolean;
      readonly stays?: string;
    };

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
      /** Absent: whoever uses it is ended otherwise. */
      readonly user?: { readonly pidFile: string; readonly command: string };
    }
  /** Of the etcd that a client file leads to. */
  | { readonly kind: "marker"; readonly config: string }
  | { readonly kind: "alarm"; readonly config: string; readonly raise: boolean }
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

const markerOf = ({ config }: { readonly config: string }): Operation => ({ kind: "marker", config });

type Plan = (target: Target, scope: FaultScope) => FaultPlan;

const PLANS: Readonly<Record<Fault, Plan>> = {
  kill: (target) => ({ does: [signal(target, "SIGKILL", true)], undoes: [start(target)] }),
  freeze: (target) => ({ does: [signal(target, "SIGSTOP", true)], undoes: [signal(target, "SIGCONT", false)] }),
  thaw: (target) => ({ does: [signal(target, "SIGCONT", true)], undoes: [] }),
  start: (target) => ({ does: [start(target, true)], undoes: [stop(target)] }),
  blackhole: (target) => ({
    does: [where(target, ["nft", dropRules(target.device ?? NO_DEVICE)], true)],
    undoes: [where(target, ["nft", NO_RULES], false)],
  }),
  "link-down": (target) => ({
    does: [link(target, "down", true)],
    undoes: [link(target, "up", false)],
  }),
  flap: (target, scope) => {
    const { does, undoes } = flapper(target, scope);
    return { does, undoes: [...undoes, link(target, "up", false)] };
  },
  wipe: (target, { id }) => replaced(target, id, []),
  "restore-old": (target, { id }) => {
    const { data, backup } = etcdOf(target);
    return replaced(target, id, [{ kind: "copy", from: backup, to: data }]);
  },
  quota: (target) => {
    const { config } = etcdOf(target);
    return {
      does: [{ kind: "alarm", config, raise: true }],
      undoes: [{ kind: "alarm", config, raise: false }],
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
/** Of a container that works for a fault until it is killed. */
const HELPER_LABEL = "bulkhead.drill";
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

function link(target: Target, way: "up" | "down", required: boolean): Operation {
  return where(target, ["ip", "link", "set", (target.device ?? NO_DEVICE).name, way], required);
}

/** Takes the link down and up until it is ended. */
function flapper({ container: label, device = NO_DEVICE }: Target, { id, folder }: FaultScope): FaultPlan {
  const turn = (way: string, seconds: string): string => `ip link set ${device.name} ${way}; sleep ${seconds}`;
  const argv = ["sh", "-c", `while :; do ${turn("down", DOWN_SECONDS)}; ${turn("up", UP_SECONDS)}; done`, id];
  if (label !== undefined) {
    const stays = `${HELPER_LABEL}=${id}`;
    return {
      does: [{ kind: "beside", label, argv, required: true, stays }],
      undoes: [{ kind: "container", label: stays, action: "kill", required: false }],
    };
  }
  const process = { pidFile: `${folder}/${id}.pid`, command: id };
  return {
    does: [{ kind: "start", ...process, argv: inNetns(device.netns, argv) }],
    undoes: [{ kind: "signal", ...process, signal: "SIGKILL", mustLive: false, group: true }],
  };
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

function etcdOf({ etcd }: Target): { config: string; data: string; backup: string } {
  return { config: etcd?.config ?? "", data: etcd?.data ?? "", backup: etcd?.backup ?? "" };
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

/** A container may say goodbye: nobody waits in vain for one that is gone. */
function stop(target: Target): Operation {
  const { container: label } = target;
  if (label === undefined) return signal(target, "SIGKILL", false);
  return { kind: "container", label, action: "stop", required: false };
}

/** Other data for a while: the own are kept aside and put back. */
function replaced(target: Target, id: string, filled: readonly Operation[]): FaultPlan {
  const { data: path } = etcdOf(target);
  const aside = `${path}.${id}`;
  return {
    does: [signal(target, "SIGKILL", true), { kind: "move", from: path, to: aside }, ...filled, start(target)],
    undoes: [...putBack(target, { kind: "put-back", aside, path }), start(target)],
  };
}

function putBack(target: Target, back: Extract<Operation, { kind: "put-back" }>): readonly Operation[] {
  const { container: label } = target;
  if (label === undefined) {
    const { pidFile, command } = processOf(target);
    return [{ ...back, user: { pidFile, command } }];
  }
  return [{ kind: "container", label, action: "kill", required: false, ifThere: back.aside }, back];
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
      return putBackText(operation);
    case "marker":
      return `refuse, unless the etcd of ${operation.config} has the key ${MARKER_KEY}`;
    case "container":
      return containerText(operation);
    case "beside":
      return `run in the network of the container that carries ${operation.label}: ${operation.argv.join(" ")}`;
    case "alarm":
      return `${operation.raise ? "raise" : "clear"} the alarm NOSPACE of the etcd of ${operation.config}`;
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

function putBackText({ aside, path, user }: Extract<Operation, { kind: "put-back" }>): string {
  const ended = user === undefined ? "" : `end the process of ${user.pidFile}, and `;
  return `if there is ${aside}: ${ended}put it back as ${path}`;
}

function containerText({ action, label, ifThere }: Extract<Operation, { kind: "container" }>): string {
  const when = ifThere === undefined ? "" : `if there is ${ifThere}: `;
  return `${when}${action} the container that carries ${label}`;
}
