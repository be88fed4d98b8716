// Heads of policy documents, so that a case shows the part that matters.

/** @param name `namespace/name`, or `name` for a clusterwide policy. */
function policyDocument(apiVersion: string, kind: string, name: string, spec: string, audit: boolean): string {
  const [plain = "", namespace] = name.split("/").reverse();
  const body = spec.replace(/^\n+|\s+$/g, "");
  const lines = [
    `apiVersion: ${apiVersion}`,
    `kind: ${kind}`,
    "metadata:",
    `  name: ${plain}`,
    ...(namespace === undefined ? [] : [`  namespace: ${namespace}`]),
    ...(audit ? ["  annotations:", '    policy.bulkhead.io/audit: "true"'] : []),
    body,
  ];
  return `${lines.join("\n")}\n`;
}

function indented(text: string): string {
  const lines = text.replace(/^\n+|\s+$/g, "").split("\n");
  const margin = Math.min(...lines.filter((line) => line.trim() !== "").map((line) => line.search(/\S/)));
  return lines.map((line) => `  ${line.slice(margin)}`).join("\n");
}

export const networkPolicy = (name: string, spec: string, audit = false): string =>
  policyDocument("networking.k8s.io/v1", "NetworkPolicy", name, `spec:\n${indented(spec)}`, audit);

export const ciliumPolicy = (name: string, spec: string, audit = false): string =>
  policyDocument("cilium.io/v2", "CiliumNetworkPolicy", name, `spec:\n${indented(spec)}`, audit);

export const clusterwidePolicy = (name: string, spec: string, audit = false): string =>
  policyDocument("cilium.io/v2", "CiliumClusterwideNetworkPolicy", name, `spec:\n${indented(spec)}`, audit);

/** A Cilium policy with a list of specs. */
export const ciliumSpecs = (name: string, specs: string): string =>
  policyDocument("cilium.io/v2", "CiliumNetworkPolicy", name, `specs:\n${indented(specs)}`, false);
