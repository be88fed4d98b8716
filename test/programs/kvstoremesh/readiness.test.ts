/** `/readyz` goes back when the program cannot do its job, and never because of a remote. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { freePort } from "../../support/free-port.ts";
import { etcdFile, MirrorStage, until } from "./stage.ts";

let stage: MirrorStage;
let url: string;
beforeEach(async () => {
  stage = new MirrorStage(5);
  const port = await freePort();
  url = `http://127.0.0.1:${port}/readyz`;
  const quick = { "unready-after-ms": "300", "retry-cap-ms": "100", "backoff-base-ms": "20", "backoff-cap-ms": "100" };
  stage.start({ listen: `127.0.0.1:${port}`, "lease-ttl-seconds": "3", ...quick });
});
afterEach(() => stage.stop());

async function readiness(): Promise<string> {
  const answer = await fetch(url).catch(() => undefined);
  if (answer === undefined) return "no answer";
  const { ready, detail } = (await answer.json()) as { readonly ready: boolean; readonly detail: string };
  assert.equal(answer.status, ready ? 200 : 503);
  return `${ready}: ${detail}`;
}

const says = (pattern: RegExp): Promise<void> => until(`${pattern}`, async () => pattern.test(await readiness()));

test("ready goes when the local etcd does not answer, and comes back with it", async () => {
  await says(/^true: leading$/);
  stage.local.inject({ silence: "requests" });
  await says(/^false: the local etcd has not answered for \d+ s: injected: silence$/);
  await says(/^false: the leader's lease was not renewed in time$/);
  stage.local.inject({});
  await says(/^true: leading$/);
});

test("ready goes when the local etcd refuses writes although it answers, and comes back", async () => {
  await stage.watching();
  await says(/^true: leading$/);
  stage.amsterdam.setNoSpace(true);
  stage.osaka.putIp(77);
  await says(/^false: the local etcd has refused writes for \d+ s$/);
  stage.amsterdam.setNoSpace(false);
  await says(/^true: leading$/);
});

test("before the first pass each remote is tried; afterwards none makes it unready", async () => {
  await stage.watching();
  await says(/^true: leading$/);
  stage.osaka.etcd.stop();
  stage.files.put("/etc/mesh/kyoto", etcdFile("osaka"));
  await until("osaka is lost and kyoto not reached", async () => {
    const remotes = (await stage.status())?.remotes ?? [];
    return remotes.length === 2 && remotes.every(({ connected }) => !connected);
  });
  assert.equal(await readiness(), "true: leading");
});
