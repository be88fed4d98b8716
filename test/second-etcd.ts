// The tests of a real etcd once more, and the tour, on etcd 3.5. The other tiers run on that of Debian 12, which is 3.4.
import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { ROOT } from "./run-file.ts";
import { print, runFiles } from "./run-files.ts";
import { tallyLine } from "./tally.ts";

const FILES = ["test/{kv,join,troubleshoot}/*.test.ts", "e2e/mirror/{own,remote}-faults.test.ts", "e2e/tour.test.ts"];
const SETTINGS = { name: "etcd-3.5", concurrency: 1, timeoutMs: 15 * 60_000, live: false };

const packages = ["etcd-server", "etcd-client"];
const folder = execFileSync(resolve(ROOT, "deploy/debian-13"), packages, { encoding: "utf8" }).trim();
process.env["PATH"] = [`${folder}/usr/bin`, process.env["PATH"]].join(delimiter);
const version = execFileSync("etcd", ["--version"], { encoding: "utf8" });
if (!version.startsWith("etcd Version: 3.5.")) throw new Error(`not etcd 3.5: ${version}`);
print(version.split("\n")[0] ?? "");

const files = globSync(FILES, { cwd: ROOT })
  .sort()
  .map((file) => resolve(ROOT, file));
const tally = await runFiles({ ...SETTINGS, files: FILES.join() }, [files]);
print(tallyLine(tally));
process.exit(tally.failed > 0 || tally.passed === 0 ? 1 : 0);
