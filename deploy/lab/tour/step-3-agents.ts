/** Step 3: the agents die; the kernel goes on. They return, adopt what is pinned, and rewrite nothing. */

import type { AgentStatus } from "../../../src/model/status.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { waitFor } from "../lab.ts";
import { sayFigure, sayResult, seconds, whole } from "../output.ts";
import { agentStatus } from "../programs.ts";
import { sayDrill } from "./drill.ts";
import { expect, expectNoFailure, requireLoad } from "./expect.ts";
import { beginDrill, type Step, stream } from "./tour.ts";

const ANSWERS_WITHIN_MS = 20_000;

export const agentsReturn: Step = {
  title: "Amsterdam's agents are killed with -9",
  async run(tour) {
    const { amsterdam } = tour;
    const drill = beginDrill(tour, "agents");
    await drill.begins;
    const streaming = stream(tour, amsterdam);
    streaming.catch(() => {});
    const killedMs = await drill.broken;
    await drill.lasts;
    const downMs = systemClock.nowMs() - killedMs;
    const report = await drill.end();
    // Goes on for longer than a rewrite would take to show.
    const result = await streaming;
    sayResult(`${whole(result.calls)} calls, ${Math.round(result.calls / result.seconds)}/s`, result);
    sayFigure("without agents", seconds(downMs));
    sayDrill(report);
    requireLoad("the stream from amsterdam", result);
    expectNoFailure("the stream from amsterdam", result);
    for (const node of amsterdam.nodes) {
      const asking = (): ReturnType<typeof agentStatus> => agentStatus(amsterdam, node);
      expectNoRewrite(node.name, await waitFor(`the agent of ${node.name} answers`, ANSWERS_WITHIN_MS, asking));
    }
  },
};

function expectNoRewrite(node: string, { adopted, written, removed }: AgentStatus): void {
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
