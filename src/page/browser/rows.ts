/** The plain tables: what is not believed, drills, events, programs, problems. */
import type { MeshEvent } from "../../model/event.ts";
import type { PageEvents, PageState } from "../../report/page.ts";
import { duration } from "../../report/text.ts";
import { badge, type Child, element, more, nothing, table, timeOf, toneOf } from "./elements.ts";

type Drawn = readonly Child[];

export function holds({ holds: { rows, total } }: PageState): Drawn {
  if (total === 0) return [nothing("Nothing is held.")];
  const cells = rows.map(({ cluster, remote, kind, state, keys, withdrawals, ageMs, confirmsInMs, example }) => [
    element("strong", {}, remote),
    cluster,
    kind,
    badge(state === "held" ? "warning" : "unknown", state),
    [
      `${withdrawals.toLocaleString()} in ${keys.toLocaleString()} keys`,
      element("span", { class: "detail" }, element("code", {}, example)),
    ],
    duration(ageMs),
    confirmsInMs === undefined ? "an operator decides" : `believed in ${duration(confirmsInMs)} if it is still so`,
  ]);
  const columns = ["Of", "In", "Kind", "State", "Withdrawals", "Since", "Then"];
  return [table("Withdrawals that are held", columns, cells), more(rows.length, total, "`bulkhead holds`")];
}

export function setAside({ setAside: { rows, total } }: PageState): Drawn {
  if (total === 0) return [nothing("No value is refused or parked.")];
  const cells = rows.map(({ cluster, remote, key, reason, detail }) => [
    element("strong", {}, remote),
    cluster,
    badge(reason === "parked" ? "unknown" : "warning", reason),
    [element("code", {}, key), element("span", { class: "detail" }, detail)],
  ]);
  const columns = ["Of", "In", "Why", "Key"];
  return [table("Values that are refused or parked", columns, cells), more(rows.length, total, "`bulkhead rejected`")];
}

/** As many as a person takes in; `bulkhead events` has the others. */
const MOST_EVENTS = 30;
const NO_NATS = "No NATS configured: events are told to nobody. Start the programs with --nats-url.";

/** Why there may be less than there was. */
function trouble({ source, error }: PageEvents): Child {
  return source === "away" ? element("p", { class: "error" }, `NATS cannot be read now: ${error ?? ""}`) : undefined;
}

/** What of a drill's details is told elsewhere on its card. */
const TOLD = new Set(["drill", "run", "state", "verdict", "hypothesis", "why"]);

/** `failOverMs` 1200 is `fail over` 1.2 s. */
function fact([name, value]: readonly [string, string | number | boolean]): readonly Node[] {
  const isTime = name.endsWith("Ms") && typeof value === "number";
  const words = name.replace(isTime ? /Ms$/ : "", "").replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const shown = typeof value === "number" && !isTime ? value.toLocaleString() : String(value);
  return [element("dt", {}, words), element("dd", {}, isTime ? duration(value) : shown)];
}

/** A run that ended is told once, by its report. */
function card(event: MeshEvent): HTMLElement {
  const { details, severity, line, cluster, time } = event;
  const { verdict, state, hypothesis } = details;
  const word = String(verdict ?? state ?? severity);
  const tone = word === "passed" ? "good" : word === "begun" ? "unknown" : toneOf(severity);
  const facts = Object.entries(details).filter(([name]) => !TOLD.has(name));
  return element(
    "article",
    { class: "drill" },
    element("p", { class: "line" }, badge(tone, word), element("span", {}, line)),
    element(
      "p",
      { class: "hint" },
      timeOf(time),
      ` told by ${cluster}`,
      hypothesis === undefined ? undefined : `: ${hypothesis}`,
    ),
    facts.length === 0 ? undefined : element("dl", {}, ...facts.map((one) => element("div", {}, ...fact(one)))),
  );
}

export function drills({ events }: PageState): Drawn {
  if (events.source === "none") return [nothing(NO_NATS)];
  if (events.drills.length === 0) return [trouble(events), nothing("No drill was told of in the last hour.")];
  const ended = new Set(
    events.drills.filter(({ details }) => details["state"] !== "begun").map(({ details }) => details["run"]),
  );
  const shown = events.drills.filter(({ details }) => details["state"] !== "begun" || !ended.has(details["run"]));
  return [trouble(events), ...shown.map(card)];
}

export function events({ events: told }: PageState): Drawn {
  if (told.source === "none") return [nothing(NO_NATS)];
  if (told.recent.length === 0) return [trouble(told), nothing("Nothing was told in the last hour.")];
  const cells = told.recent
    .slice(0, MOST_EVENTS)
    .map((event) => [
      timeOf(event.time),
      badge(toneOf(event.severity), event.severity),
      event.kind,
      event.cluster,
      `${event.program} ${event.instance}`,
      event.line,
    ]);
  const columns = ["Time", "Severity", "Kind", "Cluster", "Told by", "What"];
  const rest = more(cells.length, told.recent.length, "`bulkhead events --since 1h`");
  return [trouble(told), table("What happened in the mesh, newest first", columns, cells), rest];
}

export function programs({ clusters }: PageState): Drawn {
  const cells = clusters.flatMap(({ name, elsewhere, programs: own }) => {
    if (elsewhere) return [[element("strong", {}, name), "", badge("unknown", "not on this host"), ""]];
    return own.map((program) => [
      element("strong", {}, name),
      program.name,
      badge(toneOf(program.state), program.state),
      program.detail,
    ]);
  });
  return [table("Programs", ["Cluster", "Program", "State", "Detail"], cells)];
}

export function problems({ problems: { rows, total } }: PageState): Drawn {
  if (total === 0) return [nothing("None.")];
  const cells = rows.map(({ cluster, program, line }) => [element("strong", {}, cluster), program, line]);
  const columns = ["Cluster", "Program", "Problem"];
  return [table("Problems that a person should mend", columns, cells), more(rows.length, total, "`bulkhead status`")];
}
