/** The tour, in order. */
import { answersFromEveryCluster } from "./step-1-answers.ts";
import { outageStaysPut } from "./step-2-outage.ts";
import { agentsReturn } from "./step-3-agents.ts";
import { mirrorReturns } from "./step-4-mirror.ts";
import { changedClusterReturns } from "./step-5-return.ts";
import { policyFollowsIdentity } from "./step-6-policy.ts";
import type { Step } from "./tour.ts";

export const STEPS: readonly Step[] = [
  answersFromEveryCluster,
  outageStaysPut,
  agentsReturn,
  mirrorReturns,
  changedClusterReturns,
  policyFollowsIdentity,
];
