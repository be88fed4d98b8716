/** Step 3: the agents die; the kernel goes on. They return, adopt what is pinned, and rewrite nothing. */

import type { AgentStatus } from "../../../src/model/status.ts";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { waitFor } from "../lab.ts";
import { sayFigure, sayResult, seconds, whole } from "../output.ts";
import { agentId, agentStatus, startProgram } from "../programs.ts";
import { ExpectationFailed, expect, expectNoFailure, requireLoad } from "./expect.ts";
import { type Step, stream } from "./tour.ts";

const BEFORE_THE_KILL_MS = 2_000;
const AGENTS_DOWN_MS = 6_000;
const BACK_WITHIN_MS = 60_000;
/** Long enough for a rewrite to show. */
const SETTLE_MS = 1_000;

export const agentsReturn: Step = {
  title: "Amsterdam's agents are killed with -9",
  async run(tour) {
    const { lab, amsterdam } = tour;
    const ids = amsterdam.nodes.map((node) => agentId(amsterdam, node));
    const streaming = stream(tour, amsterdam);
    streaming.catch(() => {});
    await sleep(systemClock, BEFORE_THE_KILL_MS);
    await lab.kill(...ids);
    const killedMs = systemClock.nowMs();
    await sleep(systemClock, AGENTS_DOWN_MS);
    const startedMs = systemClock.nowMs();
    for (const id of ids) startProgram(lab, amsterdam, id);
    for (const node of amsterdam.nodes) {
      await waitFor(`agent of ${node.name} is synced`, BACK_WITHIN_MS, async () =>
        (await agentStatus(amsterdam, node))?.synced ? true : undefined,
      );
    }
    const backMs = systemClock.nowMs();
    await sleep(systemClock, SETTLE_MS);
    const result = await streaming;
    sayResult(`${whole(result.calls)} calls, ${Math.round(result.calls / result.seconds)}/s`, result);
    sayFigure(
      "without agents",
      seconds(startedMs - killedMs),
      `synced ${seconds(backMs - startedMs)} after their start`,
    );
    requireLoad("the stream from amsterdam", result);
    expectNoFailure("the stream from amsterdam", result);
    for (const node of amsterdam.nodes) expectNoRewrite(node.name, await agentStatus(amsterdam, node));
  },
};

function expectNoRewrite(node: string, status: AgentStatus | undefined): void {
  if (status === undefined) throw new ExpectationFailed(`the agent of ${node} does not answer`);
  const { adopted, written, removed } = status;
  sayFigure(
    `entries on ${node}`,
    `${whole(adopted)} adopted`,
    `${whole(written)} written`,
    `${whole(removed)} removed`,
  );
  expect(adopted > 0, `the agent of ${node} adopted nothing`);
  expect(
    written === 0 && removed === 0,
    `the agent of ${node} wrote ${written} and removed ${removed} entries; expected 0`,
  );
}
