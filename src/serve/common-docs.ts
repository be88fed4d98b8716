/** What every program answers. */
import { flag, mapOf, record, text, unknown } from "../runtime/schema.ts";
import type { RouteDocs } from "./openapi.ts";

export const COMMON_DOCS: RouteDocs = new Map([
  ["GET /healthz", { summary: "The process runs.", answer: record({ healthy: flag }) }],
  [
    "GET /readyz",
    {
      summary: "Whether the program can do its job, and why; 503 when it cannot. It can go back.",
      answer: record({ ready: flag, detail: text }),
    },
  ],
  ["GET /metrics", { summary: "Metrics in the text format of Prometheus.", answer: text, type: "text/plain" }],
  ["GET /v1/openapi.json", { summary: "This document.", answer: mapOf(unknown) }],
]);
