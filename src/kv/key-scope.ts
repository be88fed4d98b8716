/** What Cilium's metrics call the scope of a key: its third and fourth element (`nodes/v1`), or the beginning of a key that has fewer. */
export function keyScope(key: string): string {
  const [, , kind, version] = key.split("/", 4);
  return kind && version ? `${kind}/${version}` : key.slice(0, 12);
}
