/** What Cilium's metrics call the scope of a key: its third and fourth element (`nodes/v1`), or the beginning of a key that has fewer. */
export function keyScope(key: string): string {
  const kind = key.indexOf("/", key.indexOf("/") + 1) + 1;
  const version = key.indexOf("/", kind) + 1;
  const end = key.indexOf("/", version);
  const found = key.slice(kind, end < 0 ? key.length : end);
  return kind > 1 && version > kind + 1 && found.length > version - kind ? found : key.slice(0, 12);
}
