/** Cluster ids: two clusters of one id cannot be in one mesh. Judged last, when every etcd has said its own. */
import type { Steps } from "./steps.ts";

export interface Identified {
  readonly name: string;
  /** Undefined: its config was not read. */
  readonly id: number | undefined;
  readonly steps: Steps;
}

const NAME = "cluster id";

/** @param own the id of the own cluster, when it is known. */
export function judgeIds(remotes: readonly Identified[], own: Omit<Identified, "steps"> | undefined): void {
  for (const { name, id, steps } of remotes) {
    if (id === undefined) {
      steps.notRun([NAME], "its cluster config was not read");
      continue;
    }
    const others = [...(own ? [own] : []), ...remotes].filter((other) => other.id === id && other.name !== name);
    if (others.length === 0) steps.ok(NAME, `${id}, of nobody else here`);
    else {
      const holders = others.map((other) => other.name).join(", ");
      steps.failed(
        NAME,
        `${id} is that of ${holders} too`,
        "give one of the clusters another id: each must have its own",
      );
    }
  }
}

/** The local etcd's config against what this machine was told of its own cluster. */
export function judgeOwnId({ id, steps }: Identified, told: number | undefined): void {
  if (told === undefined || id === undefined || told === id) return;
  steps.failed(
    NAME,
    `${id}, but --cluster-id is ${told}`,
    "is this the etcd of the own cluster? Exporter and kvstoremesh must be told the same id",
  );
}
