/** What the mirror answers and does on its admin socket, beside its status. */

import { EVENTS_PATH } from "../../events/read.ts";
import type { Mirror } from "../../mirror/mirror.ts";
import type { Released } from "../../mirror/release.ts";
import { EVENT_KINDS, SEVERITIES } from "../../model/event.ts";
import type { Discarded, HeldKey, SetAside } from "../../model/status.ts";
import {
  either,
  flag,
  listOf,
  mapOf,
  maybe,
  number,
  parseAs,
  record,
  type Schema,
  someOf,
  text,
  whole,
  word,
} from "../../runtime/schema.ts";
import type { RouteDocs } from "../../serve/openapi.ts";
import type { Action, Answer } from "../../serve/routes.ts";

interface HoldName {
  readonly remote: string;
  readonly kind: string;
  /** Of these keys only. */
  readonly keys?: readonly string[];
}

interface Decided {
  readonly remote: string;
  readonly kind: string;
  /** How many. */
  readonly keys: number;
}

interface RefusedName {
  readonly remote: string;
  /** Of this reason only. */
  readonly reason?: string;
  /** Of these keys only. */
  readonly keys?: readonly string[];
}

/** Absent means all; that nothing is named is a mistake of whoever asks. */
const keys = maybe(someOf(text));
const holdName: Schema<HoldName> = record({ remote: text, kind: text, keys });
const decided: Schema<Decided> = record({ remote: text, kind: text, keys: whole });
const heldKey: Schema<HeldKey> = record({
  remote: text,
  kind: text,
  key: text,
  state: word("held", "discarded"),
  withdrawals: whole,
  ageMs: number,
});
const refusedName: Schema<RefusedName> = record({ remote: text, reason: maybe(text), keys });
const discarded: Schema<Discarded> = record({ remote: text, withdrawn: whole, forgotten: whole });
const setAside: Schema<SetAside> = record({ remote: text, key: text, reason: text, detail: text });
const released: Schema<Released> = record({ keys: whole, ttlSeconds: whole });

/** A MeshEvent, as it was judged. */
const event: Schema = record({
  version: whole,
  id: text,
  time: text,
  cluster: text,
  program: text,
  instance: text,
  kind: word(...EVENT_KINDS),
  remote: maybe(text),
  severity: word(...SEVERITIES),
  lost: whole,
  line: text,
  details: mapOf(either(text, number, flag)),
});

/** An EventLine. */
const eventLine: Schema = either(
  record({ sequence: whole, event }),
  record({ sequence: whole, refused: text }),
  record({ error: text }),
);

const REJECTED = "/v1/rejected";
const FORGET = "/v1/rejected/discard";
const HOLDS = "/v1/holds";
const CONFIRM = "/v1/holds/confirm";
const DISCARD = "/v1/holds/discard";
const RELEASE = "/v1/release";

export function adminAnswers(mirror: Mirror): ReadonlyMap<string, Answer> {
  return new Map<string, Answer>([
    [REJECTED, (query) => mirror.setAside(query.get("remote"))],
    [HOLDS, (query) => mirror.heldKeys(query.get("remote"))],
  ]);
}

export function adminActions(mirror: Mirror): ReadonlyMap<string, Action> {
  const deciding = (decide: (hold: HoldName) => number): Action => {
    return (body): Decided => {
      const hold = parseAs(holdName, body, "body");
      return { remote: hold.remote, kind: hold.kind, keys: decide(hold) };
    };
  };
  const forget = (body: unknown): Discarded => {
    const { remote, reason, keys = [] } = parseAs(refusedName, body, "body");
    return mirror.discardRefused(remote, reason, keys);
  };
  return new Map<string, Action>([
    [CONFIRM, deciding(({ remote, kind, keys }) => mirror.confirmHold(remote, kind, keys))],
    [DISCARD, deciding(({ remote, kind, keys }) => mirror.discardHold(remote, kind, keys))],
    [FORGET, forget],
    [RELEASE, () => mirror.release()],
  ]);
}

export const ADMIN_DOCS: RouteDocs = new Map([
  [
    `GET ${REJECTED}`,
    {
      summary: "Values of remotes that are refused, or parked until what they belong to is known.",
      query: { remote: "of this remote only" },
      answer: listOf(setAside),
    },
  ],
  [
    `GET ${HOLDS}`,
    {
      summary: "Withdrawals of remotes that are not believed, key by key.",
      query: { remote: "of this remote only" },
      answer: listOf(heldKey),
    },
  ],
  [`POST ${CONFIRM}`, { summary: "Believes what is held, or these keys of it.", body: holdName, answer: decided }],
  [`POST ${DISCARD}`, { summary: "Does not believe it.", body: holdName, answer: decided }],
  [
    `POST ${FORGET}`,
    {
      summary: "Forgets what is refused or parked, and withdraws the last good values of what is refused.",
      body: refusedName,
      answer: discarded,
    },
  ],
  [
    `GET ${EVENTS_PATH}`,
    {
      summary:
        "Events of the whole mesh, as the NATS of `--nats-url` has them: one that was read, one that was refused, or what failed.",
      query: {
        sinceMs: "age of the first one",
        after: "sequence of the last one that is known already",
        cluster: "only told by programs of this cluster",
        kind: "only these",
        follow: "`true`: goes on with what comes",
      },
      answer: eventLine,
      type: "application/x-ndjson",
    },
  ],
  [`POST ${RELEASE}`, { summary: "Hands the cache to a successor and leads no more.", answer: released }],
]);
