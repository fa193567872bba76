/** Elements are made of texts and other elements only, never of markup: what a key or a log line holds can not become code. */

export type Child = Node | string | number | undefined | false;
type Attributes = Readonly<Record<string, string | boolean | undefined | ((event: Event) => void)>>;

/** Makes an element. Attributes that are functions listen to the event of their name. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (typeof value === "string") element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== false).map(asNode));
  return element;
}

const asNode = (child: Child): Node | string => (child instanceof Node ? child : String(child));

/** Sets an element's text, if it is another one than before: whoever has selected it, or listens, is not disturbed. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export interface Column<Item> {
  readonly title: string;
  /** `number`: set to the right. `wide`: takes what is left. */
  readonly kind?: "number" | "wide";
  /** The text of the cell, which may change. */
  readonly text?: (item: Item) => string;
  /** What stands in the cell for as long as the row is there. */
  readonly node?: (item: Item) => Child;
  /** A class of the cell, which may change. */
  readonly state?: (item: Item) => string;
}

/**
 * A table whose rows stay the same elements while their items are there, so that the focus is not lost. On a small screen each
 * row is laid out as a card of titles and values; its elements have roles, since without the layout of a table they would be none.
 */
export class Table<Item> {
  readonly element: HTMLElement;
  readonly #columns: readonly Column<Item>[];
  readonly #keyOf: (item: Item) => string;
  readonly #body = h("tbody", { role: "rowgroup" });
  readonly #empty: HTMLElement;
  readonly #table: HTMLTableElement;
  readonly #rows = new Map<string, HTMLTableRowElement>();

  /** @param caption for those who do not see it @param empty is shown when there are no rows */
  constructor(caption: string, columns: readonly Column<Item>[], keyOf: (item: Item) => string, empty: string) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    const heads = columns.map(({ title, kind }) =>
      h("th", { scope: "col", role: "columnheader", class: kind ?? "" }, title),
    );
    this.#table = h(
      "table",
      { class: "rows", role: "table", "aria-label": caption },
      h("caption", { class: "hidden" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)),
      this.#body,
    );
    this.#empty = h("p", { class: "empty" }, empty);
    // whoever has a keyboard only can scroll it
    this.element = h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      this.#table,
      this.#empty,
    );
    this.show([]);
  }

  show(items: readonly Item[]): void {
    this.#table.hidden = items.length === 0;
    this.#empty.hidden = items.length > 0;
    const keys = new Set(items.map(this.#keyOf));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    items.forEach((item, at) => {
      const row = this.#rowOf(item);
      this.#columns.forEach(({ text, state }, column) => {
        const cell = row.cells[column];
        if (!cell) return;
        if (text) setText(cell, text(item));
        if (state) cell.className = `${this.#columns[column]?.kind ?? ""} ${state(item)}`;
      });
      if (this.#body.children[at] !== row) this.#body.insertBefore(row, this.#body.children[at] ?? null);
    });
  }

  #rowOf(item: Item): HTMLTableRowElement {
    const key = this.#keyOf(item);
    const known = this.#rows.get(key);
    if (known) return known;
    const cells = this.#columns.map(({ kind, node, title }) =>
      h("td", { role: "cell", class: kind ?? "", "data-title": title }, node?.(item)),
    );
    const row = h("tr", { role: "row" }, ...cells);
    this.#rows.set(key, row);
    return row;
  }
}
