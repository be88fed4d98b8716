/** Services that other clusters import by the MCS-API, in Cilium's format. Pure. */

import type { ExportManifest } from "../wire/manifest.ts";
import { encodeServiceExport } from "../wire/service-export.ts";
import type { Desired, DesiredInput } from "./parts.ts";
import { isShared, prefixOf, vetted } from "./parts.ts";
import { namespacedName } from "./world.ts";

/** What a ServiceExport and the Service of its name say together; nothing of a namespace that is not global. */
export function* serviceExportEntry(input: DesiredInput, manifest: ExportManifest): Generator<Desired> {
  const { cluster, world } = input;
  const { namespace, name, labels, annotations, createdAt, source } = manifest;
  const suffix = namespacedName(manifest);
  const where = `${source}: ServiceExport ${suffix}`;
  if (!isShared(world, namespace)) return;
  const service = world.services.get(suffix);
  if (service?.exported !== undefined) {
    const value = { cluster: cluster.name, namespace, name, labels, annotations, createdAt, ...service.exported };
    yield* vetted(input, "serviceexports", suffix, where, () => encodeServiceExport(value));
  } else if (world.refused.some((one) => one.what === "Service" && namespacedName(one) === suffix)) {
    yield { part: "serviceexports", key: prefixOf(input, "serviceexports") + suffix, refused: true };
  } else {
    const fault = "there is no Service of its name that has addresses; make one, or delete the ServiceExport";
    yield { problem: `${where}: ${fault}` };
  }
}
