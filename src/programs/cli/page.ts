/** `bulkhead page`: the status page where no kvstoremesh can serve it, as its user may not open the sockets of the others. */
import { Command, InvalidArgumentError } from "commander";
import { clusterNameFault } from "../../model/cluster.ts";
import { collectInThread, PAGE_PATH, PageFeed } from "../../page/feed.ts";
import { pageFiles } from "../../page/files.ts";
import { systemClock } from "../../runtime/clock.ts";
import { Metrics } from "../../runtime/metrics.ts";
import { loopbackFault } from "../../serve/loopback.ts";
import { serveLoopback } from "../../serve/serve.ts";
import { wholeNumber, writeLine } from "./output.ts";

interface PageOptions {
  readonly runDir: string;
  readonly cluster: string;
  readonly listen: string;
  readonly pageIntervalMs: number;
  readonly pageMaxSubscribers: number;
}

function refusing(fault: (given: string) => string | undefined): (given: string) => string {
  return (given) => {
    const why = fault(given);
    if (why === undefined) return given;
    throw new InvalidArgumentError(`It ${why}.`);
  };
}

export function pageVerb(): Command {
  return new Command("page")
    .description("serves the status page, on the loopback, of the programs whose sockets this user may open")
    .requiredOption("--cluster <cluster>", "whose kvstoremesh is asked for the events", refusing(clusterNameFault))
    .option("--run-dir <folder>", "folder of the admin sockets", "/run/bulkhead")
    .option("--listen <address>", "where a browser of this machine finds it", refusing(loopbackFault), "127.0.0.1:9889")
    .option("--page-interval-ms <ms>", "as of kvstoremesh", wholeNumber(1, 3_600_000), 2_000)
    .option("--page-max-subscribers <number>", "as of kvstoremesh", wholeNumber(1, 10_000), 16)
    .action(servePage);
}

/** Until SIGINT or SIGTERM. */
async function servePage({ listen, runDir, cluster, ...page }: PageOptions): Promise<void> {
  const { pageIntervalMs: intervalMs, pageMaxSubscribers: maxSubscribers } = page;
  const start = collectInThread({ runDir, cluster, intervalMs });
  const feed = new PageFeed({
    ...{ start, maxSubscribers, againAfterMs: intervalMs },
    clock: systemClock,
    metrics: new Metrics(),
  });
  const feeds = new Map([[PAGE_PATH, (asking: AbortSignal) => feed.subscribe(asking)]]);
  const served = await serveLoopback({ listen, answers: new Map(), files: pageFiles(), feeds });
  await writeLine(`the status page  http://${listen}/`);
  await new Promise<void>((resolve) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => resolve());
  });
  await served.close();
}
