/** What has come and gone since a moment, by number; who came and went again is not in it. */
export class Delta<T extends { readonly number: number }> {
  readonly added = new Map<number, T>();
  readonly removed = new Map<number, T>();

  get isEmpty(): boolean {
    return this.added.size === 0 && this.removed.size === 0;
  }

  /** @param isThere it has come, and has not gone */
  note(one: T, isThere: boolean): void {
    const [to, from] = isThere ? [this.added, this.removed] : [this.removed, this.added];
    if (!from.delete(one.number)) to.set(one.number, one);
  }

  /** Both, one after the other. */
  followedBy(later: Delta<T>): Delta<T> {
    const both = new Delta<T>();
    for (const { added, removed } of [this, later]) {
      for (const one of removed.values()) both.note(one, false);
      for (const one of added.values()) both.note(one, true);
    }
    return both;
  }

  /** The later one has the last word on each, whatever has become of what this one says. */
  overriddenBy(later: Delta<T>): Delta<T> {
    const both = new Delta<T>();
    for (const { added, removed } of [this, later]) {
      for (const one of removed.values()) both.#say(one, false);
      for (const one of added.values()) both.#say(one, true);
    }
    return both;
  }

  #say(one: T, isThere: boolean): void {
    const [to, from] = isThere ? [this.added, this.removed] : [this.removed, this.added];
    from.delete(one.number);
    to.set(one.number, one);
  }
}
