/** Faults of containers, one by one, through testcontainers: what Compose has no words for. */
import { getContainerRuntimeClient } from "testcontainers";
import { waitFor } from "../deploy/lab/lab.ts";
import { ENV, PROJECT } from "./compose.ts";

// No reaper, whose image nobody could pull here: `down` takes everything away. And no looking for a bridge that leads to the machine: where the
// tests themselves run in a container, testcontainers would need one.
Object.assign(process.env, { TESTCONTAINERS_RYUK_DISABLED: "true", TESTCONTAINERS_HOST_OVERRIDE: "127.0.0.1" });

const NETWORK = `${PROJECT}_mesh`;
const WITHIN_MS = 120_000;

async function containersOf(...labels: readonly string[]) {
  const { container } = await getContainerRuntimeClient();
  const project = `com.docker.compose.project=${PROJECT}`;
  return await container.dockerode.listContainers({ all: true, filters: { label: [project, ...labels] } });
}

async function containerOf(service: string) {
  const { container } = await getContainerRuntimeClient();
  const [found] = await containersOf(`com.docker.compose.service=${service}`);
  if (found === undefined) throw new Error(`no container of ${service}`);
  return container.getById(found.Id);
}

/** By SIGKILL. The engine does not start it again. */
export async function kill(service: string): Promise<void> {
  await (await containerOf(service)).kill();
}

export async function start(service: string): Promise<void> {
  await (await containerOf(service)).start();
}

/** Its processes stand still, its connections stay open. */
export async function freeze(service: string): Promise<void> {
  await (await containerOf(service)).pause();
}

export async function thaw(service: string): Promise<void> {
  await (await containerOf(service)).unpause();
}

/** Takes its device and address away; resolves to how to give both back, the device another one and the address the same. */
export async function unplug(service: string): Promise<() => Promise<void>> {
  const { network } = await getContainerRuntimeClient();
  const container = await containerOf(service);
  const { NetworkSettings } = await container.inspect();
  const address = NetworkSettings.Networks[NETWORK]?.IPAddress;
  if (!address) throw new Error(`${service} is not in the mesh`);
  const mesh = network.getById(NETWORK);
  await mesh.disconnect({ Container: container.id });
  return () => mesh.connect({ Container: container.id, EndpointConfig: { IPAMConfig: { IPv4Address: address } } });
}

/** Starts a container like that of a service, at another address and under another name; resolves to how to remove it. */
export async function startTwin(service: string, address: string, name: string): Promise<() => Promise<void>> {
  const { container } = await getContainerRuntimeClient();
  const { Config } = await (await containerOf(service)).inspect();
  const twin = await container.create({
    Image: ENV.BULKHEAD_IMAGE,
    name: `${PROJECT}-${name}`,
    Entrypoint: Config.Entrypoint as string[],
    Cmd: Config.Cmd,
    Env: [...Config.Env.filter((line) => !line.startsWith("POD_NAME=")), `POD_NAME=${name}`],
    // An orphan of the project, so that `down` takes it away too.
    Labels: { ...Config.Labels, "com.docker.compose.service": name },
    HostConfig: { NetworkMode: NETWORK },
    NetworkingConfig: { EndpointsConfig: { [NETWORK]: { IPAMConfig: { IPv4Address: address } } } },
  });
  await container.start(twin);
  return () => twin.remove({ force: true, v: true });
}

export interface HowItRuns {
  readonly user: string;
  readonly privileged: boolean;
  /** Those that are given back, of none. */
  readonly capabilities: readonly string[];
}

/** How the container of each service runs, by service. */
export async function howTheyRun(): Promise<ReadonlyMap<string, HowItRuns>> {
  const { container } = await getContainerRuntimeClient();
  const found = new Map<string, HowItRuns>();
  for (const { Id, Labels } of await containersOf()) {
    const { Config, HostConfig } = await container.getById(Id).inspect();
    found.set(Labels["com.docker.compose.service"] ?? "", {
      user: Config.User,
      privileged: HostConfig.Privileged === true,
      capabilities: HostConfig.CapAdd ?? [],
    });
  }
  return found;
}

/** `running`, `paused`, `exited`, or another word of the engine's. */
export async function stateOf(service: string): Promise<string> {
  return (await (await containerOf(service)).inspect()).State.Status;
}

/** Resolves when every container that has a health check passes it. */
export async function allHealthy(): Promise<void> {
  let last = "";
  const ask = async (): Promise<true | undefined> => {
    const sick = (await containersOf()).filter(({ Status }) => /health: starting|unhealthy/.test(Status));
    last = sick.map(({ Names, Status }) => `${Names[0]} ${Status}`).join("; ");
    return sick.length === 0 ? true : undefined;
  };
  await waitFor("every container is healthy", WITHIN_MS, ask, () => last);
}
