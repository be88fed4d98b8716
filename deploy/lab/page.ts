/** The status page of the first cluster, for a browser of this machine: kvstoremesh serves it on the loopback of a namespace, where no browser is. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab } from "./lab.ts";
import { etcdNode } from "./plan.ts";
import { PAGE_PORT } from "./settings.ts";

const RELAY = fileURLToPath(new URL("workload/relay.ts", import.meta.url));
export const PAGE_ID = "mesh/page";

/** Where the page is, once it can be opened. Port 9889 of this machine's loopback, or any other where that one is taken. */
export async function openPage(lab: Lab): Promise<string> {
  const [cluster] = lab.plan.clusters;
  if (cluster === undefined) throw new RangeError("the lab has no cluster");
  const server = await listening(PAGE_PORT).catch(() => listening(0));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  lab.start({
    id: PAGE_ID,
    netns: etcdNode(cluster).netns,
    cgroup: join(lab.plan.cgroup, "programs"),
    argv: [process.execPath, RELAY, String(PAGE_PORT)],
    listener: descriptorOf(server),
  });
  // The relay has the socket too: it goes on listening there.
  server.close();
  return `http://127.0.0.1:${address.port}/`;
}

async function listening(port: number): Promise<Server> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** Node gives a server's file descriptor to nobody, but it has one. */
function descriptorOf(server: Server): number {
  const { _handle } = server as unknown as { readonly _handle?: { readonly fd: number } };
  if (_handle === undefined) throw new Error("the server does not listen");
  return _handle.fd;
}
