/** All mutants. */
import { AGENT_MUTANTS } from "./agent.ts";
import { HOSTILE_MUTANTS } from "./hostile.ts";
import { LOCAL_MUTANTS } from "./local.ts";
import type { Mutant } from "./mutant.ts";
import { REMOTE_MUTANTS } from "./remote.ts";
import { SETTINGS_MUTANTS } from "./settings.ts";

export const MUTANTS: readonly Mutant[] = [
  ...LOCAL_MUTANTS,
  ...REMOTE_MUTANTS,
  ...HOSTILE_MUTANTS,
  ...SETTINGS_MUTANTS,
  ...AGENT_MUTANTS,
];
