/**
 * Finds who waits for a key, by what KeysReader and StreamReader registrations call a prefix: a key, or the beginning of
 * keys with a star at its end. No other character is special, and an empty prefix matches nothing (docs/spec/events.md, section 3).
 *
 * Most events concern nobody, and there may be ten thousand registrations: so beginnings are kept in a radix tree, in which
 * a key that nobody wants is given up at its first bytes.
 */

const STAR = 0x2a;
const NOBODY: readonly never[] = [];

/** An entry with its place in the order in which entries are found. */
interface Placed<T> {
  readonly entry: T;
  readonly order: number;
}

/** A beginning of keys: that of the node above and a label, which begins differently from those beside it. */
class Node<T> {
  label: Buffer;
  readonly below = new Map<number, Node<T>>();
  placed: readonly Placed<T>[] = NOBODY;

  constructor(label: Buffer) {
    this.label = label;
  }
}

export class KeyIndex<T> {
  readonly #root = new Node<T>(Buffer.alloc(0));
  /** By whole keys as latin1, so that any bytes are a key. */
  readonly #exact = new Map<string, readonly Placed<T>[]>();

  /** @param order entries are found in ascending order of these numbers */
  add(prefix: Buffer, entry: T, order: number): void {
    const placed = { entry, order };
    if (prefix.at(-1) === STAR) {
      const node = this.#nodeOf(prefix.subarray(0, -1));
      node.placed = inOrder([...node.placed, placed]);
    } else if (prefix.length > 0) {
      const key = prefix.toString("latin1");
      this.#exact.set(key, inOrder([...(this.#exact.get(key) ?? []), placed]));
    }
  }

  /** Takes an entry out that was added with this prefix. */
  remove(prefix: Buffer, entry: T): void {
    const others = (placed: readonly Placed<T>[]): readonly Placed<T>[] =>
      placed.filter((other) => other.entry !== entry);
    if (prefix.at(-1) === STAR) {
      this.#removeBelow(this.#root, prefix.subarray(0, -1), others);
      return;
    }
    const key = prefix.toString("latin1");
    const left = others(this.#exact.get(key) ?? []);
    if (left.length > 0) this.#exact.set(key, left);
    else this.#exact.delete(key);
  }

  /** The entries whose prefix matches a key. */
  find(key: Buffer): readonly T[] {
    let found: readonly Placed<T>[] = this.#root.placed;
    let sources = found.length > 0 ? 1 : 0;
    const take = (placed: readonly Placed<T>[]): void => {
      found = sources++ === 0 ? placed : [...found, ...placed];
    };
    let node: Node<T> | undefined = this.#root;
    for (let at = 0; at < key.length; ) {
      node = node.below.get(key[at] as number);
      if (node === undefined || !beginsWith(key, node.label, at)) break;
      at += node.label.length;
      if (node.placed.length > 0) take(node.placed);
    }
    if (this.#exact.size > 0) {
      const exact = this.#exact.get(key.toString("latin1"));
      if (exact) take(exact);
    }
    if (found.length === 0) return NOBODY;
    return (sources > 1 ? inOrder(found) : found).map(({ entry }) => entry);
  }

  /** The node of a beginning; it is made when there is none. */
  #nodeOf(start: Buffer): Node<T> {
    let node = this.#root;
    let at = 0;
    while (at < start.length) {
      const first = start[at] as number;
      const next = node.below.get(first);
      if (next === undefined) {
        const leaf = new Node<T>(Buffer.from(start.subarray(at)));
        node.below.set(first, leaf);
        return leaf;
      }
      const same = sameBytes(start, at, next.label);
      if (same < next.label.length) split(node, next, same);
      node = node.below.get(first) as Node<T>;
      at += same;
    }
    return node;
  }

  /** Takes entries from the node of a beginning, and nodes out of the tree that are of no more use. */
  #removeBelow(node: Node<T>, start: Buffer, others: (placed: readonly Placed<T>[]) => readonly Placed<T>[]): void {
    if (start.length === 0) {
      node.placed = others(node.placed);
      return;
    }
    const first = start[0] as number;
    const next = node.below.get(first);
    if (next === undefined || !beginsWith(start, next.label, 0)) return;
    this.#removeBelow(next, start.subarray(next.label.length), others);
    if (next.placed.length > 0 || next.below.size > 1) return;
    const [only] = next.below.values();
    if (only === undefined) {
      node.below.delete(first);
      return;
    }
    only.label = Buffer.concat([next.label, only.label]);
    node.below.set(first, only);
  }
}

/** Puts a node in between, for the bytes that the labels of a node and of another share. */
function split<T>(above: Node<T>, node: Node<T>, at: number): void {
  const between = new Node<T>(node.label.subarray(0, at));
  node.label = node.label.subarray(at);
  between.below.set(node.label[0] as number, node);
  above.below.set(between.label[0] as number, between);
}

/** How many bytes of a label stand in `bytes` at `at`. */
function sameBytes(bytes: Buffer, at: number, label: Buffer): number {
  const most = Math.min(bytes.length - at, label.length);
  let same = 0;
  while (same < most && bytes[at + same] === label[same]) same++;
  return same;
}

const beginsWith = (bytes: Buffer, label: Buffer, at: number): boolean => sameBytes(bytes, at, label) === label.length;

const inOrder = <T>(placed: readonly Placed<T>[]): readonly Placed<T>[] => placed.toSorted((a, b) => a.order - b.order);
