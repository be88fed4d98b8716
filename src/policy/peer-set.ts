/** The identities that one term means now, and who must hear when that changes. */

/** Compiles a row for each identity that its peer sets hold. */
export interface Follower {
  /** Identities that came to or left one of the sets it follows. */
  readonly touched: Set<number>;
}

export class PeerSet {
  readonly members = new Set<number>();
  readonly followers = new Set<Follower>();

  /** Whether anything changed. */
  place(identity: number, inside: boolean): boolean {
    if (this.members.has(identity) === inside) return false;
    if (inside) this.members.add(identity);
    else this.members.delete(identity);
    for (const follower of this.followers) follower.touched.add(identity);
    return true;
  }
}
