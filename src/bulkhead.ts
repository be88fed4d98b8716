#!/usr/bin/env node
/** One command. A program is imported only when asked for, so that `status` loads neither libbpf nor etcd. */

const [name, ...rest] = process.argv.slice(2);

switch (name) {
  case "exporter":
    await (await import("./programs/exporter/main.ts")).main(rest);
    break;
  case "kvstoremesh":
    await (await import("./programs/kvstoremesh/main.ts")).main(rest);
    break;
  case "agent":
    await (await import("./programs/agent/main.ts")).main(rest);
    break;
  case "drilld":
    await (await import("./programs/drilld/main.ts")).main(rest);
    break;
  default:
    await (await import("./programs/cli/main.ts")).main(process.argv.slice(2));
}
