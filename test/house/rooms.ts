// The rooms of src/: which floor each is on, whether it is pure, and which npm packages live there and nowhere else.
// Default-deny: a folder that is not listed, a package that is not listed, an import that is not downward all fail.

export type Room = {
  readonly name: string;
  readonly floor: number;
  readonly pure: boolean;
  readonly packages: readonly string[];
};

const pure = (floor: number, name: string, ...packages: string[]): Room => ({ name, floor, pure: true, packages });
const impure = (floor: number, name: string, ...packages: string[]): Room => ({ name, floor, pure: false, packages });

export const ROOMS: readonly Room[] = [
  pure(0, "model"),
  impure(0, "runtime", "opossum", "pino", "prom-client", "zod", "close-with-grace"),
  pure(1, "wire", "yaml"),
  pure(1, "maps"),
  pure(1, "tables"),
  impure(1, "kv", "etcd3", "cockatiel"),
  impure(1, "kernel", "koffi"),
  impure(1, "disk"),
  impure(1, "docker"),
  impure(1, "kube", "@kubernetes/client-node"),
  impure(1, "bus", "@nats-io/jetstream", "@nats-io/transport-node"),
  pure(2, "lb"),
  pure(2, "ipcache"),
  pure(2, "policy"),
  pure(2, "report"),
  impure(2, "access"),
  impure(2, "follow"),
  impure(2, "publish"),
  impure(2, "elect"),
  impure(2, "events"),
  impure(2, "serve", "fastify"),
  impure(3, "export"),
  impure(3, "mirror"),
  impure(3, "troubleshoot"),
  impure(3, "join"),
  impure(3, "ingest"),
  impure(3, "datapath"),
  impure(3, "endpoints"),
  impure(3, "probe"),
  impure(3, "flows"),
  impure(3, "page", "uplot"),
  impure(3, "drill"),
  impure(4, "programs/kvstoremesh"),
  impure(4, "programs/exporter"),
  impure(4, "programs/agent"),
  impure(4, "programs/drilld"),
  impure(4, "programs/cli", "commander"),
  impure(5, "bulkhead.ts"),
];

/** What pure rooms may import of Node: deterministic and synchronous. src/pure-globals.d.ts declares just that much. */
export const PURE_BUILTINS: readonly string[] = ["node:assert", "node:assert/strict", "node:crypto", "node:zlib"];

/** What nobody in src/ may import: each would go around this table or around the clock. */
export const REFUSED_BUILTINS: readonly string[] = ["node:module", "node:vm", "node:timers", "node:timers/promises"];

/** The only room that may touch the wall clock, timers and randomness. */
export const CLOCK_ROOM = "runtime";

/** Files that belong to no room: declarations for the type checker. */
export const ROOMLESS: readonly string[] = ["src/pure-globals.d.ts"];

/** The room that holds `path` (`src/model/address.ts`), or undefined when none does. */
export function roomOf(path: string): Room | undefined {
  const inside = path.replace(/^src\//, "");
  return ROOMS.find((room) => inside === room.name || inside.startsWith(`${room.name}/`));
}
