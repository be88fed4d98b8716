/** A Docker engine in memory: containers with labels and addresses, and a daemon that can be gone while they run on. */
import { type DockerEngine, DockerError } from "./door.ts";

export interface MemoryContainer {
  /** As `docker run --name` takes it. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent: stopped. */
  readonly address?: string;
  readonly state?: "created" | "running" | "paused" | "exited";
  readonly health?: "starting" | "healthy" | "unhealthy";
}

interface Watcher {
  readonly onEvent: () => void;
  readonly broken: (error: DockerError) => void;
}

export class MemoryDocker implements DockerEngine {
  readonly #containers = new Map<string, { readonly order: number; readonly container: MemoryContainer }>();
  readonly #watchers = new Set<Watcher>();
  #made = 0;
  #alive = true;
  /** Calls of `list` that were answered. */
  lists = 0;

  /** Makes a container anew, or changes the one of this name. */
  put(container: MemoryContainer): void {
    const order = this.#containers.get(container.name)?.order ?? ++this.#made;
    this.#containers.set(container.name, { order, container });
    this.#tell();
  }

  remove(name: string): void {
    this.#containers.delete(name);
    this.#tell();
  }

  /** The daemon is gone, its containers are not. */
  die(): void {
    this.#alive = false;
    for (const { broken } of [...this.#watchers]) broken(gone());
  }

  revive(): void {
    this.#alive = true;
  }

  async list(label: string, signal: AbortSignal): Promise<Uint8Array> {
    if (!this.#alive || signal.aborted) throw gone();
    this.lists++;
    const [name = "", value = ""] = label.split("=");
    const carrying = [...this.#containers.values()].filter(({ container }) => container.labels[name] === value);
    return new TextEncoder().encode(JSON.stringify(carrying.map(({ order, container }) => asJson(container, order))));
  }

  async watch(onEvent: () => void, signal: AbortSignal): Promise<void> {
    if (!this.#alive) throw gone();
    if (signal.aborted) return;
    await new Promise<void>((resolve, reject) => {
      const watcher = { onEvent, broken: (error: DockerError) => end(() => reject(error)) };
      const end = (settle: () => void): void => {
        this.#watchers.delete(watcher);
        settle();
      };
      this.#watchers.add(watcher);
      signal.addEventListener("abort", () => end(resolve), { once: true });
      onEvent();
    });
  }

  #tell(): void {
    for (const { onEvent } of [...this.#watchers]) onEvent();
  }
}

function gone(): DockerError {
  return new DockerError("unreachable", "the engine is gone");
}

/** As `GET /containers/json` says it. */
function asJson({ name, labels, address = "", state, health }: MemoryContainer, order: number): unknown {
  const suffix = health === "starting" ? " (health: starting)" : health === undefined ? "" : ` (${health})`;
  return {
    Id: order.toString(16).padStart(64, "0"),
    Names: [`/${name}`],
    Created: order,
    Labels: labels,
    State: state ?? (address === "" ? "exited" : "running"),
    Status: `Up 3 seconds${suffix}`,
    NetworkSettings: { Networks: { mesh: { IPAddress: address, GlobalIPv6Address: "" } } },
  };
}
