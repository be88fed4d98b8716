/** What the mirror answers and does on its admin socket, beside its status. */
import type { Mirror } from "../../mirror/mirror.ts";
import type { Released } from "../../mirror/release.ts";
import type { SetAside } from "../../model/status.ts";
import { listOf, parseAs, record, type Schema, text, whole } from "../../runtime/schema.ts";
import type { RouteDocs } from "../../serve/openapi.ts";
import type { Action, Answer } from "../../serve/routes.ts";

interface HoldName {
  readonly remote: string;
  readonly kind: string;
}

const holdName: Schema<HoldName> = record({ remote: text, kind: text });
const setAside: Schema<SetAside> = record({ remote: text, key: text, reason: text, detail: text });
const released: Schema<Released> = record({ keys: whole, ttlSeconds: whole });

const REJECTED = "/v1/rejected";
const CONFIRM = "/v1/holds/confirm";
const DISCARD = "/v1/holds/discard";
const RELEASE = "/v1/release";

export function adminAnswers(mirror: Mirror): ReadonlyMap<string, Answer> {
  return new Map<string, Answer>([[REJECTED, (query) => mirror.setAside(query.get("remote"))]]);
}

export function adminActions(mirror: Mirror): ReadonlyMap<string, Action> {
  const decided = (decide: (hold: HoldName) => void): Action => {
    return (body) => {
      const hold = parseAs(holdName, body, "body");
      decide(hold);
      return hold;
    };
  };
  return new Map<string, Action>([
    [CONFIRM, decided(({ remote, kind }) => mirror.confirmHold(remote, kind))],
    [DISCARD, decided(({ remote, kind }) => mirror.discardHold(remote, kind))],
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
  [`POST ${CONFIRM}`, { summary: "Believes what is held.", body: holdName, answer: holdName }],
  [`POST ${DISCARD}`, { summary: "Does not believe what is held.", body: holdName, answer: holdName }],
  [`POST ${RELEASE}`, { summary: "Hands the cache to a successor and leads no more.", answer: released }],
]);
