/** The alarm of an etcd whose quota is used up, raised and cleared by hand: what drills do, and no program of the mesh. */
import { systemClock } from "../runtime/clock.ts";
import type { ConnectOptions } from "./client.ts";
import { Endpoints } from "./etcd-endpoints.ts";
import { toKvError } from "./etcd-errors.ts";

/**
 * No writes until it is cleared; nothing is filled. Each may be done twice. Rejects with a KvError, or a UserError when endpoints or certificates
 * make no sense.
 */
export async function setNoSpace(options: ConnectOptions, raise: boolean): Promise<void> {
  const endpoints = new Endpoints(options);
  const { maintenance } = endpoints.current;
  const call = { deadline: systemClock.wallMs() + options.timeoutMs };
  try {
    const { header } = await maintenance.status(call);
    const action = raise ? "Activate" : "Deactivate";
    await maintenance.alarm({ action, memberID: header.member_id, alarm: "Nospace" }, call);
  } catch (error) {
    throw toKvError(error, true);
  } finally {
    endpoints.close();
  }
}
