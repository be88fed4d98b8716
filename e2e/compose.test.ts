/** The mesh of containers, on a real Docker engine: it comes up, it is closed to strangers, and one cluster's failure stays there. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { waitFor } from "../deploy/lab/lab.ts";
import {
  agentOf,
  build,
  bulkhead,
  CLUSTERS,
  complaints,
  compose,
  containerOf,
  docker,
  down,
  eventually,
  imageSize,
  inside,
  logsOf,
  nextReports,
  notRun,
  remote,
  up,
} from "./compose.ts";

const WITHIN_MS = 60_000;
const MAX_IMAGE_BYTES = 400e6;
const LEDGER = "http://10.77.11.3:8080/";

/** Every client was answered by all three clusters, and no call failed. */
async function everyoneAnswers(count = 2): Promise<void> {
  for (const [cluster, reports] of await nextReports(count)) {
    for (const { answers, failed } of reports) {
      assert.equal(failed, "", `calls of ${cluster} failed`);
      assert.deepEqual(Object.keys(answers).sort(), CLUSTERS, `${cluster} was answered by all`);
    }
  }
}

/** Through the etcd of osaka, as a client that holds this certificate of amsterdam. */
function etcdctl(certificate: string, ...args: readonly string[]): Promise<string> {
  const files = ["--cacert=/pki/ca.crt", `--cert=/pki/${certificate}.crt`, `--key=/pki/${certificate}.key`];
  const argv = ["etcdctl", "--endpoints=https://10.77.20.2:2379", "--command-timeout=5s", ...files, ...args];
  return inside("amsterdam-kvstoremesh", ["env", "ETCDCTL_API=3", ...argv]);
}

const reason = notRun();
/** A test that is told as not run, with its reason, where there is nothing to run it on. */
function inContainers(name: string, body: () => Promise<void>): void {
  test(name, { skip: reason ?? false }, body);
}

before(async () => {
  if (reason !== undefined) return;
  await down();
  await build();
  await up();
  for (const cluster of CLUSTERS) await eventually(cluster, "all answer", ({ failed }) => failed === "");
});
after(() => (reason === undefined ? down() : undefined));

inContainers("a global service is answered by every cluster, for every cluster", async () => {
  await everyoneAnswers();
  let said: readonly string[] = [];
  const quiet = async (): Promise<true | undefined> => {
    said = await complaints();
    return said.length === 0 ? true : undefined;
  };
  await waitFor("no program complains", WITHIN_MS, quiet, () => said.join("; "));
});

inContainers("one image of at most 400 MB; nobody is privileged, and only who must be is root", async () => {
  assert.ok((await imageSize()) <= MAX_IMAGE_BYTES, `${await imageSize()} bytes`);
  const format = "{{.HostConfig.Privileged}} {{.Config.User}}";
  const found = new Map<string, string>();
  for (const job of ["etcd", "exporter", "kvstoremesh", "agent", "hello", "client"]) {
    found.set(job, (await docker("inspect", "--format", format, await containerOf(`osaka-${job}`))).trim());
  }
  const [ordinary, root] = ["false bulkhead", "false root"];
  assert.deepEqual(Object.fromEntries(found), {
    etcd: ordinary,
    exporter: root,
    kvstoremesh: ordinary,
    agent: root,
    hello: ordinary,
    client: ordinary,
  });
});

inContainers("an etcd answers nobody without a certificate, and a peer only what peers may read", async () => {
  const shared = "cilium/state/services/v1/osaka/demo/hello";
  assert.match(await etcdctl("remote", "get", shared), /10\.77\.21\.2/);
  await assert.rejects(etcdctl("remote", "get", "bulkhead/v1/services/demo/hello"), /permission denied/);
  await assert.rejects(etcdctl("remote", "put", shared, "{}"), /permission denied/);
  const stranger = ["curl", "-sS", "-m", "5", "--cacert", "/pki/ca.crt", "https://osaka-etcd:2379/version"];
  const known = [...stranger, "--cert", "/pki/remote.crt", "--key", "/pki/remote.key"];
  assert.match(await inside("amsterdam-kvstoremesh", known), /etcdserver/);
  await assert.rejects(inside("amsterdam-kvstoremesh", stranger));
  assert.match(await logsOf("osaka-etcd"), /client didn't provide a certificate/);
});

inContainers(
  "a policy holds between containers: the own client may, another cluster's may not, and the kernel says why",
  async () => {
    const ask = ["curl", "-sS", "-m", "2", LEDGER];
    assert.equal(await inside("amsterdam-client", ask), "amsterdam/ledger\n");
    await assert.rejects(inside("osaka-client", ask), /timed out/);
    const words = [
      "flows",
      "--json",
      "--last",
      "100",
      "--verdict",
      "dropped",
      "--from",
      "10.77.21.4",
      "--to",
      "10.77.11.3",
    ];
    assert.match(await bulkhead("amsterdam", ...words), /"reason":\s*"policy-denied"/);
  },
);

inContainers("osaka's etcd stops: every call goes on, to osaka too; it comes back and is followed again", async () => {
  await compose("stop", "osaka-etcd");
  await waitFor("amsterdam's breaker for osaka opens", WITHIN_MS, async () => {
    return (await remote("amsterdam", "osaka"))?.breaker === "closed" ? undefined : true;
  });
  await everyoneAnswers(4);
  assert.equal((await remote("amsterdam", "virginia"))?.breaker, "closed");
  await compose("start", "osaka-etcd");
  await waitFor("osaka is followed again", WITHIN_MS, async () => {
    const { connected, synced, breaker } = (await remote("amsterdam", "osaka")) ?? {};
    return connected === true && synced === true && breaker === "closed" ? true : undefined;
  });
  await everyoneAnswers();
});

inContainers(
  "a container that stops is no backend any more, its service stays; made anew it is one again",
  async () => {
    await compose("stop", "--timeout", "1", "osaka-hello");
    const without = (names: readonly string[]) => JSON.stringify(names) === '["amsterdam","virginia"]';
    const gone = "osaka answers no more and nothing fails";
    for (const cluster of CLUSTERS) {
      await eventually(cluster, gone, ({ answers, failed }) => failed === "" && without(Object.keys(answers).sort()));
    }
    await compose("rm", "-f", "osaka-hello");
    await compose("up", "-d", "--no-build", "osaka-hello");
    for (const cluster of CLUSTERS) {
      await eventually(cluster, "osaka answers", ({ answers, failed }) => failed === "" && "osaka" in answers);
    }
    await everyoneAnswers();
  },
);

inContainers("a container that left the network and came back is one again, policy and all", async () => {
  const [id, network] = [await containerOf("amsterdam-ledger"), "bulkhead-e2e_mesh"];
  const ask = ["curl", "-sS", "-m", "2", LEDGER];
  await docker("network", "disconnect", network, id);
  await assert.rejects(inside("amsterdam-client", ask));
  await docker("network", "connect", "--ip", "10.77.11.3", network, id);
  await waitFor("the ledger answers", WITHIN_MS, () => {
    return inside("amsterdam-client", ask).then(
      () => true,
      () => undefined,
    );
  });
  await assert.rejects(inside("osaka-client", ask), /timed out/);
});

inContainers("an agent is removed and made anew: no call fails, and it takes over what the kernel holds", async () => {
  await compose("rm", "-f", "-s", "amsterdam-agent");
  await everyoneAnswers(3);
  await compose("up", "-d", "--no-build", "amsterdam-agent");
  const { adopted, removed } = await waitFor("the agent is synced", WITHIN_MS, async () => {
    const agent = await agentOf("amsterdam");
    return agent?.synced === true ? agent : undefined;
  });
  assert.ok(adopted > 0, `${adopted} adopted`);
  assert.equal(removed, 0);
  await everyoneAnswers();
});
