/** The two things that drills ask of an etcd, by its JSON gateway: the kv door knows no alarms, and needs none. */
import { messageOf } from "../runtime/user-error.ts";

export interface EtcdGateway {
  hasKey(endpoint: string, key: string): Promise<boolean>;
  /** Raises or clears the alarm that an etcd raises when its quota is used up: no writes until it is cleared. Nothing is filled. */
  noSpace(endpoint: string, raise: boolean): Promise<void>;
}

const TIMEOUT_MS = 5_000;

interface Answer {
  readonly header?: { readonly member_id?: string };
  readonly kvs?: readonly unknown[];
  readonly error?: string;
}

async function post(endpoint: string, path: string, body: unknown): Promise<Answer> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(`${endpoint}/v3/${path}`, { method: "POST", body: JSON.stringify(body), signal });
    const answer = (await response.json()) as Answer;
    if (!response.ok) throw new Error(answer.error ?? `HTTP ${response.status}`);
    return answer;
  } catch (error) {
    throw new Error(`etcd at ${endpoint}: ${messageOf(error)}`);
  }
}

function range(endpoint: string, key: string): Promise<Answer> {
  return post(endpoint, "kv/range", { key: Buffer.from(key).toString("base64") });
}

export const httpGateway: EtcdGateway = {
  async hasKey(endpoint, key) {
    return ((await range(endpoint, key)).kvs ?? []).length > 0;
  },

  async noSpace(endpoint, raise) {
    const memberId = (await range(endpoint, "-")).header?.member_id ?? "0";
    const action = raise ? "ACTIVATE" : "DEACTIVATE";
    await post(endpoint, "maintenance/alarm", { action, memberID: memberId, alarm: "NOSPACE" });
  },
};
