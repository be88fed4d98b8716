/**
 * The right to write, as a fact in etcd: writes compare the leader key's mod_revision. Rewriting the key moves the revision,
 * so that writes of unknown outcome sent before can no longer win.
 */
export interface Fence {
  readonly key: string;
  readonly modRevision: number;
}
