// Every scenario, by what it is about.
import type { Scenario } from "./case.ts";
import { CIDRS } from "./cidrs.ts";
import { CLUSTERS } from "./clusters.ts";
import { ENTITIES } from "./entities.ts";
import { LAB } from "./lab.ts";
import { NAMESPACES } from "./namespaces.ts";
import { MESSAGES, NAMED_PORTS, PORTS } from "./ports.ts";
import { EXPRESSIONS, SERVICE_ACCOUNTS, SPECS, TRUST } from "./subjects.ts";
import { AUDIT, DEFAULT_DENY, DENY, ENDPOINTS } from "./verdicts.ts";

export const SCENARIOS: Readonly<Record<string, readonly Scenario[]>> = {
  namespaces: NAMESPACES,
  clusters: CLUSTERS,
  entities: ENTITIES,
  cidrs: CIDRS,
  ports: PORTS,
  "named ports": NAMED_PORTS,
  messages: MESSAGES,
  "default deny": DEFAULT_DENY,
  deny: DENY,
  audit: AUDIT,
  endpoints: ENDPOINTS,
  "service accounts": SERVICE_ACCOUNTS,
  trust: TRUST,
  expressions: EXPRESSIONS,
  specs: SPECS,
  "the lab": LAB,
};
