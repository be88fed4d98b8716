/** What of a manifest is not in Kubernetes' API, by the generated models of the pinned client: misspelt fields, values of a wrong type. */
import * as client from "@kubernetes/client-node";

interface Attribute {
  readonly baseName: string;
  readonly type: string;
}

interface Model {
  getAttributeTypeMap(): readonly Attribute[];
}

type Json = { readonly [field: string]: unknown };

const models = new Map<string, Model>(
  Object.entries(client).flatMap(([name, value]): [string, Model][] =>
    typeof value === "function" && "getAttributeTypeMap" in value ? [[name, value as unknown as Model]] : [],
  ),
);

/** `apps/v1 Deployment` is V1Deployment, whatever its group. */
function modelOf({ apiVersion, kind }: Json): Model | undefined {
  const version = String(apiVersion).split("/").at(-1) ?? "";
  return models.get(`${version[0]?.toUpperCase()}${version.slice(1)}${kind}`);
}

/** One line each: the path and what is wrong there. */
export function schemaFaults(object: Json): readonly string[] {
  const model = modelOf(object);
  return model === undefined ? [`${object["kind"]}: no such kind`] : [...objectFaults(object, model, "")];
}

function* objectFaults(value: unknown, model: Model, path: string): Generator<string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return yield `${path}: must be an object`;
  const attributes = new Map(model.getAttributeTypeMap().map(({ baseName, type }) => [baseName, type]));
  for (const [name, member] of Object.entries(value)) {
    const type = attributes.get(name);
    if (type === undefined) yield `${path}.${name}: no such field`;
    else yield* faultsOf(member, type, `${path}.${name}`);
  }
}

function* faultsOf(value: unknown, type: string, path: string): Generator<string> {
  const [, item] = /^Array<(.*)>$/.exec(type) ?? [];
  const [, member] = /^\{ \[key: string\]: (.*); \}$/.exec(type) ?? [];
  const model = models.get(type);
  if (item !== undefined) {
    if (!Array.isArray(value)) return yield `${path}: must be a list`;
    for (const [index, one] of value.entries()) yield* faultsOf(one, item, `${path}[${index}]`);
  } else if (member !== undefined) {
    for (const [name, one] of Object.entries(value as Json)) yield* faultsOf(one, member, `${path}.${name}`);
  } else if (type === "IntOrString") {
    if (typeof value !== "number" && typeof value !== "string") yield `${path}: must be a number or text`;
  } else if (model !== undefined) yield* objectFaults(value, model, path);
  else if (["string", "number", "boolean"].includes(type) && typeof value !== type) yield `${path}: must be a ${type}`;
}
