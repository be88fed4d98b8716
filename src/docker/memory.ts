/** A Docker engine in memory: containers with labels and addresses, and a daemon that can be gone while they run on. */
import type { ContainerAction, DockerControl } from "./control.ts";
import { type DockerEngine, DockerError } from "./door.ts";

export interface MemoryContainer {
  /** As `docker run --name` takes it. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent: stopped. */
  readonly address?: string;
  readonly state?: "created" | "running" | "paused" | "exited";
  readonly health?: "starting" | "healthy" | "unhealthy";
  /** Gone when it ends. */
  readonly autoRemove?: true;
}

interface Watcher {
  readonly onEvent: () => void;
  readonly broken: (error: DockerError) => void;
}

export class MemoryDocker implements DockerEngine, DockerControl {
  readonly #containers = new Map<string, { readonly order: number; readonly container: MemoryContainer }>();
  readonly #watchers = new Set<Watcher>();
  #made = 0;
  #alive = true;
  /** Calls of `list` that were answered. */
  lists = 0;
  /** What commands in containers write; a DockerError is thrown. */
  writes: (where: "inside" | "beside", name: string, argv: readonly string[]) => readonly string[] | DockerError =
    () => [];

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

  /** As a real engine refuses what is not possible. */
  async act(id: string, action: ContainerAction): Promise<void> {
    const { container, state } = this.#find(id);
    const allowed = FROM[action];
    if (action === "start" && state === "running") return;
    if (!allowed.includes(state)) throw new DockerError("refused", `HTTP 409 ${container.name} is ${state}`);
    const ends = action === "kill" || action === "stop";
    if (ends && container.autoRemove) return this.remove(container.name);
    this.put({ ...container, state: ends ? "exited" : action === "pause" ? "paused" : "running" });
  }

  async *inside(id: string, argv: readonly string[], signal: AbortSignal): AsyncGenerator<string> {
    const { container, state } = this.#find(id);
    if (state !== "running") throw new DockerError("refused", `HTTP 409 ${container.name} is ${state}`);
    const written = this.writes("inside", container.name, argv);
    if (written instanceof DockerError) throw written;
    for (const line of written) if (!signal.aborted) yield line;
  }

  async beside(id: string, argv: readonly string[]): Promise<void> {
    const { container, state } = this.#find(id);
    if (!["running", "paused"].includes(state))
      throw new DockerError("refused", `HTTP 409 ${container.name} is ${state}`);
    const written = this.writes("beside", container.name, argv);
    if (written instanceof DockerError) throw written;
  }

  async leaveBeside(id: string, argv: readonly string[], label: string): Promise<void> {
    await this.beside(id, argv);
    const [name = "", value = ""] = label.split("=");
    this.put({ name: value, labels: { [name]: value }, state: "running", autoRemove: true });
  }

  #find(id: string): { readonly container: MemoryContainer; readonly state: string } {
    if (!this.#alive) throw gone();
    const found = [...this.#containers.values()].find(({ order }) => idOf(order).startsWith(id));
    if (found === undefined) throw new DockerError("refused", `HTTP 404 no container ${id}`);
    return { container: found.container, state: stateOf(found.container) };
  }

  #tell(): void {
    for (const { onEvent } of [...this.#watchers]) onEvent();
  }
}

function gone(): DockerError {
  return new DockerError("unreachable", "the engine is gone");
}

/** States from which each is possible. */
const FROM: Readonly<Record<ContainerAction, readonly string[]>> = {
  kill: ["running"],
  stop: ["running"],
  start: ["created", "exited"],
  pause: ["running"],
  unpause: ["paused"],
};

/** Told apart by its first digits, of which 12 are printed. */
const idOf = (order: number): string => order.toString(16).padStart(12, "0").padEnd(64, "0");

function stateOf({ state, address = "" }: MemoryContainer): string {
  return state ?? (address === "" ? "exited" : "running");
}

/** As `GET /containers/json` says it. */
function asJson(container: MemoryContainer, order: number): unknown {
  const { name, labels, address = "", health } = container;
  const suffix = health === "starting" ? " (health: starting)" : health === undefined ? "" : ` (${health})`;
  return {
    Id: idOf(order),
    Names: [`/${name}`],
    Created: order,
    Labels: labels,
    State: stateOf(container),
    Status: `Up 3 seconds${suffix}`,
    NetworkSettings: { Networks: { mesh: { IPAddress: address, GlobalIPv6Address: "" } } },
  };
}
