/** What the exporter does on its admin socket. */
import type { DrainOrder } from "../../export/drainer.ts";
import type { Exporter } from "../../export/exporter.ts";
import { FULL_WEIGHT } from "../../model/drain.ts";
import { listOf, parseAs, record, type Schema, text, upTo } from "../../runtime/schema.ts";
import type { Action } from "../../serve/routes.ts";
import { MAX_STEP_MS } from "../../wire/drain.ts";

const order: Schema<DrainOrder> = record({
  services: listOf(text),
  target: upTo(FULL_WEIGHT),
  overMs: upTo(MAX_STEP_MS),
});

/** Answers the exporter's status once the order is written down. */
export function drainAction(exporter: Exporter): Action {
  return (body) => exporter.drain(parseAs(order, body, "body"));
}
