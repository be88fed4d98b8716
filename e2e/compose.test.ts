/** The mesh of containers, on a real Docker engine: it comes up, it is closed to strangers, and one cluster's failure stays there. */
import assert from "node:assert/strict";
import { loadavg } from "node:os";
import { after, before, type TestContext, test } from "node:test";
import { waitFor } from "../deploy/lab/lab.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { firstState } from "../test/support/first-state.ts";
import {
  agentOf,
  build,
  bulkhead,
  CLUSTERS,
  type Cluster,
  complaints,
  compose,
  down,
  ENV,
  eventually,
  imageSize,
  inside,
  logsOf,
  nextReports,
  notRun,
  remote,
  reports,
  up,
} from "./compose.ts";
import { allHealthy, freeze, howTheyRun, kill, start, startTwin, thaw, unplug } from "./containers.ts";
import { engineless, ownEngine, whileFrozen } from "./engine.ts";

const WITHIN_MS = 90_000;
const MAX_IMAGE_BYTES = 400e6;

/** Every client was answered by all three clusters, and no call failed. */
async function everyoneAnswers(count = 2): Promise<void> {
  for (const [cluster, reports] of await nextReports(count)) {
    for (const { answers, failed } of reports) {
      assert.equal(failed, "", `calls of ${cluster} failed`);
      assert.deepEqual(Object.keys(answers).sort(), CLUSTERS, `${cluster} was answered by all`);
    }
  }
}

async function eventuallyAllAnswer(): Promise<void> {
  for (const cluster of CLUSTERS) {
    const all = ({ answers, failed }: { readonly answers: object; readonly failed: string }): boolean => {
      return failed === "" && Object.keys(answers).length === CLUSTERS.length;
    };
    await eventually(cluster, "all answer and nothing fails", all);
  }
}

const judged = new Map<Cluster, number>();
/** No call of a client to the ledger beside it has failed since the last time, whatever became of others; `parted` is not asked. */
async function ledgersHeld(parted?: Cluster): Promise<void> {
  for (const cluster of CLUSTERS) {
    const said = await reports(cluster, "ledger.demo");
    const fresh = said.slice(judged.get(cluster) ?? 0);
    judged.set(cluster, said.length);
    if (cluster === parted) continue;
    assert.ok(said.length > 0, `${cluster}'s client called its ledger`);
    for (const { answers, failed } of fresh) {
      assert.equal(failed, "", `calls of ${cluster}'s ledger failed`);
      assert.deepEqual(Object.keys(answers), [cluster]);
    }
  }
}

/** Keys of each other cluster in the cache of this one, by kind. */
async function entriesOf(own: Cluster) {
  const others = CLUSTERS.filter((cluster) => cluster !== own);
  const entries = await Promise.all(others.map(async (name) => (await remote(own, name))?.entries));
  assert.ok(entries.every((kinds) => kinds !== undefined && kinds["services"] === 1));
  return entries;
}

async function breakerLeft(own: Cluster, name: Cluster): Promise<void> {
  await waitFor(`${own}'s breaker for ${name} opens`, WITHIN_MS, async () => {
    return (await remote(own, name))?.breaker === "closed" ? undefined : true;
  });
}

async function followedAgain(own: Cluster, name: Cluster): Promise<void> {
  await waitFor(`${own} follows ${name} again`, WITHIN_MS, async () => {
    const { connected, synced, breaker } = (await remote(own, name)) ?? {};
    return connected === true && synced === true && breaker === "closed" ? true : undefined;
  });
}

/** Through the etcd of osaka, as a client that holds this certificate of amsterdam. */
function etcdctl(certificate: string, ...args: readonly string[]): Promise<string> {
  const files = ["--cacert=/pki/ca.crt", `--cert=/pki/${certificate}.crt`, `--key=/pki/${certificate}.key`];
  const argv = ["etcdctl", "--endpoints=https://10.77.20.2:2379", "--command-timeout=5s", ...files, ...args];
  return inside("amsterdam-kvstoremesh", ["env", "ETCDCTL_API=3", ...argv]);
}

const PUBLISH = `
import { readFileSync } from "node:fs";
import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
const [certificate, subject] = process.argv.slice(1);
const read = (file) => readFileSync("/pki/" + file, "utf8");
const own = certificate === "none" ? {} : { cert: read(certificate + ".crt"), key: read(certificate + ".key") };
const tls = { host: "10.77.1.2", ca: read("ca.crt"), ...own };
const connection = await connect({ servers: "10.77.1.2:4222", tls, reconnect: false, timeout: 5000 });
await jetstream(connection, { timeout: 5000 }).publish(subject, "{}");
await connection.close();
console.log("taken");
`;

/** To the NATS of the mesh, as a client that holds this certificate of amsterdam. */
function publish(certificate: string, subject: string): Promise<string> {
  return inside("amsterdam-kvstoremesh", ["node", "--input-type=module", "-e", PUBLISH, certificate, subject]);
}

function ask(client: Cluster, address: string): Promise<string> {
  return inside(`${client}-client`, ["curl", "-sS", "-m", "2", `http://${address}:8080/`]);
}

const reason = notRun();
/** A test that is told as not run, with its reason, where there is nothing to run it on. */
function inContainers(name: string, body: (t: TestContext) => Promise<void>, unless = reason): void {
  test(name, { skip: unless ?? false }, body);
}

let readyMs = 0;

before(async () => {
  if (reason !== undefined) return;
  await down();
  await build();
  const startedMs = systemClock.nowMs();
  await up();
  await allHealthy();
  for (const cluster of CLUSTERS) {
    await eventually(cluster, "its calls are answered", ({ answers }) => Object.keys(answers).length > 0);
  }
  readyMs = systemClock.nowMs() - startedMs;
});
after(() => (reason === undefined ? down() : undefined));

inContainers("a global service is answered by every cluster, for every cluster", async (t) => {
  const load = `load ${loadavg()[0]?.toFixed(1)}`;
  t.diagnostic(`all healthy and every client answered ${(readyMs / 1_000).toFixed(1)} s after up (${load})`);
  await eventuallyAllAnswer();
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
  const ordinary = { user: "bulkhead", privileged: false, capabilities: [] };
  const root = { ...ordinary, user: "root" };
  const agent = { ...root, capabilities: ["NET_ADMIN", "NET_BROADCAST", "SYS_ADMIN", "DAC_OVERRIDE"] };
  for (const [service, runs] of await howTheyRun()) {
    const job = service.replace(/^(amsterdam|osaka|virginia)-/, "");
    const expected = new Map([
      ["agent", agent],
      ["exporter", root],
      ["dev-ca", root],
      ["page", { ...root, capabilities: ["DAC_OVERRIDE"] }],
    ]).get(job);
    assert.deepEqual(runs, expected ?? ordinary, service);
  }
});

inContainers("the status page is on this machine's loopback, and everything answers it", async () => {
  const page = `http://${ENV.BULKHEAD_PAGE}`;
  assert.match(await (await fetch(`${page}/`)).text(), /<title>Bulkhead<\/title>/);
  const open = await fetch(`${page}/v1/page`);
  const { pairs, silent, clusters } = await firstState(open.body ?? assert.fail());
  assert.deepEqual(silent, []);
  assert.deepEqual(
    pairs.map(({ mirror }) => mirror?.grade),
    Array.from({ length: 6 }, () => "fresh"),
  );
  for (const { name, programs } of clusters) {
    assert.deepEqual(
      programs.map((program) => program.name.replace(/ .*/, "")).sort(),
      ["agent", "exporter", "kvstoremesh"],
      name,
    );
  }
});

inContainers("etcd and NATS answer nobody without a certificate, and each only what is its own", async () => {
  const shared = "cilium/state/services/v1/osaka/demo/hello";
  assert.match(await etcdctl("remote", "get", shared), /10\.77\.21\.2/);
  await assert.rejects(etcdctl("remote", "get", "bulkhead/v1/services/demo/hello"), /permission denied/);
  await assert.rejects(etcdctl("remote", "put", shared, "{}"), /permission denied/);
  const stranger = ["curl", "-sS", "-m", "5", "--cacert", "/pki/ca.crt", "https://osaka-etcd:2379/version"];
  const known = [...stranger, "--cert", "/pki/remote.crt", "--key", "/pki/remote.key"];
  assert.match(await inside("amsterdam-kvstoremesh", known), /etcdserver/);
  await assert.rejects(inside("amsterdam-kvstoremesh", stranger));
  assert.match(await logsOf("osaka-etcd"), /client didn't provide a certificate/);

  assert.equal(await publish("kvstoremesh", "bulkhead.events.v1.amsterdam.problem"), "taken\n");
  await assert.rejects(publish("kvstoremesh", "bulkhead.events.v1.osaka.problem"));
  await assert.rejects(publish("dns", "bulkhead.events.v1.amsterdam.problem"));
  await assert.rejects(publish("none", "bulkhead.events.v1.amsterdam.problem"));
  const said = await logsOf("nats");
  assert.match(
    said,
    /Publish Violation - User "amsterdam-kvstoremesh", Subject "bulkhead\.events\.v1\.osaka\.problem"/,
  );
  assert.match(said, /authentication error/);
  assert.match(said, /client didn't provide a certificate/);
});

inContainers(
  "a policy holds between containers: the own client may, another cluster's may not, and the kernel says why",
  async () => {
    assert.equal(await ask("amsterdam", "10.77.11.3"), "amsterdam/ledger\n");
    await assert.rejects(ask("osaka", "10.77.11.3"), /timed out/);
    const dropped = ["flows", "--json", "--last", "100", "--verdict", "dropped"];
    const flows = await bulkhead("amsterdam", ...dropped, "--from", "10.77.21.4", "--to", "10.77.11.3");
    assert.match(flows, /"reason":\s*"policy-denied"/);
  },
);

inContainers("etcds die and freeze and NATS is gone: every call goes on; they come back, and all is told", async () => {
  const earlier = await entriesOf("amsterdam");
  await kill("nats");
  await kill("osaka-etcd");
  await breakerLeft("amsterdam", "osaka");
  await breakerLeft("virginia", "osaka");
  assert.equal((await remote("amsterdam", "virginia"))?.breaker, "closed");
  await freeze("virginia-etcd");
  await breakerLeft("amsterdam", "virginia");
  assert.deepEqual(await entriesOf("amsterdam"), earlier, "what they said last stays");
  await everyoneAnswers(3);
  await thaw("virginia-etcd");
  await start("osaka-etcd");
  await start("nats");
  await followedAgain("amsterdam", "osaka");
  await followedAgain("amsterdam", "virginia");
  await everyoneAnswers();
  await ledgersHeld();
  let told = "";
  const opened = (cluster: string) => new RegExp(`"cluster":"${cluster}".*"line":"osaka: breaker opened`);
  const all = async (): Promise<true | undefined> => {
    told = await bulkhead("osaka", "events", "--json", "--since", "10m", "--kind", "breaker");
    return opened("amsterdam").test(told) && opened("virginia").test(told) ? true : undefined;
  };
  await waitFor("what happened meanwhile is told", WITHIN_MS, all, () => told);
});

inContainers("osaka is cut off: nobody else loses what is local, and it returns with its policies", async () => {
  await ledgersHeld();
  const ledger = "10.77.21.3";
  const earlier = await entriesOf("amsterdam");
  assert.equal(await ask("osaka", ledger), "osaka/ledger\n");
  const jobs = ["etcd", "exporter", "kvstoremesh", "dns", "hello", "ledger", "client"];
  const plug = await Promise.all(jobs.map((job) => unplug(`osaka-${job}`)));
  await breakerLeft("amsterdam", "osaka");
  await breakerLeft("virginia", "osaka");
  await assert.rejects(ask("osaka", ledger));
  for (const own of ["amsterdam", "virginia"] as const) {
    await eventually(own, "its nodes found osaka dead, both others answer", ({ answers, failed }) => {
      return failed === "" && JSON.stringify(Object.keys(answers).sort()) === '["amsterdam","virginia"]';
    });
  }
  assert.deepEqual(await entriesOf("amsterdam"), earlier, "what it said last stays");
  assert.equal((await remote("amsterdam", "virginia"))?.breaker, "closed");
  for (const back of plug) await back();
  await ledgersHeld("osaka");
  await followedAgain("amsterdam", "osaka");
  await eventuallyAllAnswer();
  await everyoneAnswers();
  assert.equal(await ask("osaka", ledger), "osaka/ledger\n", "on another device");
  await assert.rejects(ask("amsterdam", ledger), /timed out/);
});

inContainers(
  "a container dies and one of the same service starts elsewhere: another address, same policies",
  async () => {
    await ledgersHeld("osaka");
    await kill("osaka-hello");
    const without = (names: readonly string[]) => JSON.stringify(names) === '["amsterdam","virginia"]';
    const gone = "osaka answers no more and nothing fails";
    for (const cluster of CLUSTERS) {
      await eventually(cluster, gone, ({ answers, failed }) => failed === "" && without(Object.keys(answers).sort()));
    }
    const remove = await startTwin("osaka-hello", "10.77.21.9", "hello-again");
    await eventuallyAllAnswer();
    await everyoneAnswers();
    assert.equal(await ask("virginia", "10.77.21.9"), "osaka/hello-again\n");
    const stranger = inside("amsterdam-ledger", ["curl", "-sS", "-m", "2", "http://10.77.21.9:8080/"]);
    await assert.rejects(stranger, /timed out/, "no client");
    await remove();
    await start("osaka-hello");
    // Calls of the twin that hang are told when they time out.
    await nextReports(1);
    await eventuallyAllAnswer();
    await ledgersHeld();
  },
);

inContainers("an agent is killed, then made anew: no call fails, and it takes over what the kernel holds", async () => {
  await kill("amsterdam-agent");
  await everyoneAnswers(3);
  await compose("rm", "-f", "-s", "amsterdam-agent");
  await compose("up", "-d", "--no-build", "--no-deps", "amsterdam-agent");
  const { adopted, removed } = await waitFor("the agent is synced", WITHIN_MS, async () => {
    const agent = await agentOf("amsterdam");
    return agent?.synced === true ? agent : undefined;
  });
  assert.ok(adopted > 0, `${adopted} adopted`);
  assert.equal(removed, 0);
  await everyoneAnswers();
  await ledgersHeld();
});

const engine = reason === undefined ? ownEngine() : undefined;
const foreign = engine === undefined ? "not run: this Docker engine is not one of deploy/images/engine" : undefined;
inContainers(
  "the Docker engine stands still: it withdraws nothing, and every call goes on",
  async () => {
    const statuses = await engineless();
    const entries = async () => {
      const exporters = (await statuses()).filter((status) => status.program === "exporter");
      return new Map(exporters.map((status) => [status.cluster, status]));
    };
    const earlier = await entries();
    assert.equal(earlier.size, CLUSTERS.length);
    await whileFrozen(engine ?? assert.fail(), async () => {
      await waitFor("every exporter misses the engine", WITHIN_MS, async () => {
        const said = [...(await entries()).values()].map(({ problems }) => problems.join());
        return said.every((line) => line.includes("Docker engine: no answer within")) ? true : undefined;
      });
      for (const [cluster, { entries: now }] of await entries()) assert.deepEqual(now, earlier.get(cluster)?.entries);
    });
    await waitFor("every exporter hears it again", WITHIN_MS, async () => {
      return [...(await entries()).values()].every(({ problems }) => problems.length === 0) ? true : undefined;
    });
    await everyoneAnswers();
    await ledgersHeld();
  },
  reason ?? foreign,
);
