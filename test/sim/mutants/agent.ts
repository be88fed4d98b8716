/** Mutants of the agent: what it makes of its local etcd. */
import type { KvClient } from "../../../src/kv/client.ts";
import { canaryKey, SYNCED_PREFIX } from "../../../src/wire/keys.ts";
import { RESOURCES } from "../../../src/wire/resources.ts";
import { passing } from "../doors.ts";
import { localCanaries } from "../sim-cluster.ts";
import { type Mutant, mutant } from "./mutant.ts";
import { added } from "./remote.ts";

/** L11: whatever the local etcd lists is taken for all. */
function agentBelieves(client: KvClient): KvClient {
  const clusters = ["amsterdam", "osaka", "virginia"];
  const canaries = clusters.flatMap((cluster) => [
    ...RESOURCES.flatMap((kind) => [canaryKey(cluster, kind.cacheCanary), canaryKey(cluster, kind.stateCanary)]),
    ...localCanaries(cluster),
  ]);
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      return request.key === SYNCED_PREFIX ? { ...answer, kvs: added(answer.kvs, canaries) } : answer;
    },
  };
}

export const AGENT_MUTANTS: readonly Mutant[] = [
  mutant("the agent prunes without canary", "I2", 12, { agent: () => agentBelieves }),
];
