/** Services by number, and what kube-proxy would write for them. */

/** In 10.96.0.0/12, as clusters have them. */
export function serviceAddress(number: number): string {
  const host = number + 1;
  return `10.${96 + (host >> 16)}.${(host >> 8) & 255}.${host & 255}`;
}

export function serviceAddress6(number: number): string {
  return `fd96::${(number + 1).toString(16)}`;
}

/** For iptables-restore: a chain for each service and each endpoint, one rule after the other in KUBE-SERVICES, as kube-proxy writes them. */
export function iptablesRules(services: number, port: number, backend: string): string {
  const numbers = Array.from({ length: services }, (_, number) => number);
  const chains = numbers.flatMap((number) => [`:KUBE-SVC-${number} - [0:0]`, `:KUBE-SEP-${number} - [0:0]`]);
  const rules = numbers.flatMap((number) => [
    `-A KUBE-SERVICES -d ${serviceAddress(number)}/32 -p tcp -m comment --comment "shop/s${number}" -m tcp --dport ${port} -j KUBE-SVC-${number}`,
    `-A KUBE-SVC-${number} -m comment --comment "shop/s${number}" -j KUBE-SEP-${number}`,
    `-A KUBE-SEP-${number} -p tcp -m comment --comment "shop/s${number}" -m tcp -j DNAT --to-destination ${backend}`,
  ]);
  return `${["*nat", ":KUBE-SERVICES - [0:0]", ...chains, "-A OUTPUT -j KUBE-SERVICES", ...rules, "COMMIT"].join("\n")}\n`;
}
