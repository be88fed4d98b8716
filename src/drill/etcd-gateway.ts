/** The two things that drills ask of an etcd, by its JSON gateway: the kv door knows no alarms, and needs none. */
import type { Clock } from "../runtime/clock.ts";
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
  /** Instead of `error`, from 3.5 on. */
  readonly message?: string;
}

export class HttpGateway implements EtcdGateway {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async hasKey(endpoint: string, key: string): Promise<boolean> {
    return ((await this.#range(endpoint, key)).kvs ?? []).length > 0;
  }

  async noSpace(endpoint: string, raise: boolean): Promise<void> {
    const memberId = (await this.#range(endpoint, "-")).header?.member_id ?? "0";
    const action = raise ? "ACTIVATE" : "DEACTIVATE";
    await this.#post(endpoint, "maintenance/alarm", { action, memberID: memberId, alarm: "NOSPACE" });
  }

  #range(endpoint: string, key: string): Promise<Answer> {
    return this.#post(endpoint, "kv/range", { key: Buffer.from(key).toString("base64") });
  }

  async #post(endpoint: string, path: string, body: unknown): Promise<Answer> {
    const late = new AbortController();
    const timer = this.#clock.after(TIMEOUT_MS, () => late.abort(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    try {
      const request = { method: "POST", body: JSON.stringify(body), signal: late.signal };
      const response = await fetch(`${endpoint}/v3/${path}`, request);
      const answer = (await response.json()) as Answer;
      if (!response.ok) throw new Error(answer.error ?? answer.message ?? `HTTP ${response.status}`);
      return answer;
    } catch (error) {
      throw new Error(`etcd at ${endpoint}: ${messageOf(error)}`);
    } finally {
      timer.cancel();
    }
  }
}
