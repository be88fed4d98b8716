// What happens to a mesh: policies come, go and change, pods too, labels and ports move.
import type { Node, Pod, World } from "../reference/world.ts";
import type { Choose } from "./choose.ts";
import { namedPorts, podLabels, policyFile } from "./world.ts";

const MOST_POLICIES = 14;

function changedPolicies(choose: Choose, world: World): World["policies"] {
  const policies = [...world.policies];
  for (let count = choose.between(0, 3); count > 0; count--) {
    const at = choose.between(0, policies.length - 1);
    const change = choose.weighted({ replace: 50, remove: 25, add: 25 });
    const file = policies[at];
    if (change === "add" && policies.length < MOST_POLICIES) policies.push(policyFile(choose, newName(policies)));
    else if (file !== undefined && change === "remove") policies.splice(at, 1);
    // Under the same name; another kind or namespace is another policy.
    else if (file !== undefined) policies[at] = policyFile(choose, file.file);
  }
  return policies;
}

function newName(policies: World["policies"]): string {
  const names = new Set(policies.map(({ file }) => file));
  for (let index = 0; ; index++) if (!names.has(`policy-${index}`)) return `policy-${index}`;
}

function changedPod(choose: Choose, world: World, pod: Pod): Pod {
  const change = choose.weighted({ labels: 40, ports: 30, audit: 10, unlabelled: 20 });
  if (change === "labels") return { ...pod, labels: podLabels(choose) };
  if (change === "ports") return { ...pod, namedPorts: namedPorts(choose) };
  if (change === "audit") return { ...pod, audit: pod.audit !== true };
  const here = pod.cluster === world.own && pod.node === world.thisNode;
  return here ? pod : { ...pod, unlabelled: pod.unlabelled !== true };
}

/** @param first everybody there ever was: who is gone may come back. */
function changedPods(choose: Choose, world: World, first: World): World["pods"] {
  const stay = world.pods
    .filter(() => !choose.chance(5))
    .map((pod) => {
      return choose.chance(12) ? changedPod(choose, world, pod) : pod;
    });
  const gone = first.pods.filter((pod) => !stay.some(({ name }) => name === pod.name));
  return [...stay, ...gone.filter(() => choose.chance(40))];
}

/** Nodes go and come back; ours stays. */
function changedNodes(choose: Choose, world: World, first: World): World["nodes"] {
  const isOurs = ({ cluster, name }: Node): boolean => cluster === world.own && name === world.thisNode;
  return first.nodes.filter((node) => {
    const known = world.nodes.some(({ name }) => name === node.name);
    return isOurs(node) || known !== choose.chance(known ? 8 : 60);
  });
}

export function changedWorld(choose: Choose, world: World, first: World): World {
  return {
    ...world,
    policies: changedPolicies(choose, world),
    pods: changedPods(choose, world, first),
    nodes: changedNodes(choose, world, first),
    lies: choose.chance(20) ? first.lies.filter(() => choose.chance(50)) : world.lies,
  };
}
