/** Results as a table: columns where records are dicts, one column otherwise. */
import { list, type Reply, shown } from "./api.ts";
import { h } from "./dom.ts";
import { parsePython } from "./python-value.ts";

const MOST_COLUMNS = 12;

export function resultTable(results: Reply): HTMLElement {
  const values = list(results);
  if (values.length === 0) return h("p", { class: "empty" }, "There are none.");
  const records = values.map((value) => (typeof value === "string" ? parsePython(value) : undefined));
  const names = columnsOf(records);
  const heads = names.length > 0 ? names : ["Result"];
  const table = values.map((value, at) => {
    const record = records[at];
    return names.length > 0 && record ? names.map((name) => record.get(name) ?? "") : [shown(value)];
  });
  // one that has numbers only is set to the right
  const numeric = heads.map((_name, column) => table.every((cells) => isNumber(cells[column] ?? "")));
  const rows = table.map((cells, at) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: "number" }, at + 1),
      ...cells.map((cell, column) => h("td", { class: numeric[column] ? "number" : "" }, cell)),
    ),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Results" },
    h(
      "table",
      { class: "results" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col", class: "number" }, "#"),
          ...heads.map((name, at) => h("th", { scope: "col", class: numeric[at] ? "number" : "" }, name)),
        ),
      ),
      h("tbody", {}, ...rows),
    ),
  );
}

/** The keys of the records, if all of them are dicts with few keys. */
function columnsOf(records: readonly (ReadonlyMap<string, string> | undefined)[]): string[] {
  const names = new Set<string>();
  for (const record of records) {
    if (!record) return [];
    for (const name of record.keys()) names.add(name);
    if (names.size > MOST_COLUMNS) return [];
  }
  return [...names];
}

const isNumber = (text: string): boolean => text !== "" && !Number.isNaN(Number(text));
