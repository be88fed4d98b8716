import assert from "node:assert/strict";
import { test } from "node:test";
import type { Step } from "../../src/model/troubleshoot.ts";
import { troubleshootText } from "../../src/report/troubleshoot.ts";

const notRun = (name: string, seen: string): Step => ({ name, outcome: "not-run", seen });

test("a block a remote, a line a step, and a line how to mend what failed", () => {
  const osaka: readonly Step[] = [
    { name: "file /c/osaka", outcome: "ok", seen: "http://10.0.0.1:2379" },
    { name: "TCP 10.0.0.1:2379", outcome: "failed", seen: "no answer within 5000 ms", mend: "is there a route?" },
    notRun("etcd 10.0.0.1:2379", "there is no connection"),
    notRun("heartbeat", "no etcd lets us read"),
    notRun("cluster config", "no etcd lets us read"),
  ];
  const text = `local
  note    etcd: old

osaka
  ok      file /c/osaka: http://10.0.0.1:2379
  FAILED  TCP 10.0.0.1:2379: no answer within 5000 ms
          mend: is there a route?
  not run etcd 10.0.0.1:2379: there is no connection
  not run heartbeat, cluster config: no etcd lets us read`;
  const local: readonly Step[] = [{ name: "etcd", outcome: "note", seen: "old" }];
  assert.equal(
    troubleshootText([
      { remote: "local", steps: local },
      { remote: "osaka", steps: osaka },
    ]),
    text,
  );
  assert.equal(troubleshootText([]), "no remote is configured");
});

test("what a remote says cannot move the cursor or feign a line", () => {
  const hostile: Step = { name: "etcd", outcome: "ok", seen: "3.4\n  ok      all: fine\u001b[2J" };
  const text = troubleshootText([{ remote: "osaka", steps: [hostile] }]);
  assert.equal(text, "osaka\n  ok      etcd: 3.4\\u000a  ok      all: fine\\u001b[2J");
});
