/** The status page served by a verb, of a mirror whose sockets it opens. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { firstState } from "../../support/first-state.ts";
import { freePort } from "../../support/free-port.ts";
import { MirrorStage, until } from "../kvstoremesh/stage.ts";
import { bulkhead, COMMAND } from "./command.ts";

const stage = new MirrorStage(20);
before(async () => {
  stage.start();
  await stage.watching();
});
after(() => stage.stop());

function statusFor(port: number, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: "127.0.0.1", path: "/", headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on("error", reject).end();
  });
}

test("it shows what a kvstoremesh would, to this machine only, until it is told to end", async (t) => {
  const port = await freePort();
  const listen = `127.0.0.1:${port}`;
  const args = ["page", "--cluster", "amsterdam", "--run-dir", stage.folder, "--listen", listen];
  const page = spawn(process.execPath, [COMMAND, ...args, "--page-interval-ms", "50"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => page.kill("SIGKILL"));
  const [said] = await once(page.stdout, "data");
  assert.equal(String(said), `the status page  http://${listen}/\n`);
  assert.match(await (await fetch(`http://${listen}/`)).text(), /<title>Bulkhead<\/title>/);
  assert.equal(await statusFor(port, "localhost"), 200);
  assert.equal(await statusFor(port, "attacker.example"), 403);
  const open = await fetch(`http://${listen}/v1/page`);
  assert(open.body);
  const { cluster, pairs } = await firstState(open.body);
  assert.equal(cluster, "amsterdam");
  assert.deepEqual(
    pairs.map(({ from, to, mirror }) => [from, to, mirror?.grade]),
    [["amsterdam", "osaka", "fresh"]],
  );
  const ended = once(page, "exit");
  page.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  await until("nobody listens", () =>
    fetch(`http://${listen}/`).then(
      () => false,
      () => true,
    ),
  );
});

test("bad input is one line, exit code 2", async () => {
  for (const [args, line] of [
    [["--cluster", "amsterdam", "--listen", "0.0.0.0:9889"], /must be ADDRESS:PORT on the loopback/],
    [["--cluster", "Amsterdam!"], /'--cluster <cluster>' argument 'Amsterdam!' is invalid/],
    [[], /required option '--cluster <cluster>' not specified/],
  ] as const) {
    const { code, err } = await bulkhead("page", ...args);
    assert.equal(code, 2);
    assert.match(err, line);
  }
});
