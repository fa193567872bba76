/** Scripts that were run before, in this browser only. */
const KEY = "regears.past";
const DRAFT = "regears.draft";
const MOST = 30;

export function remembered(): readonly string[] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

export function remember(code: string): void {
  const all = [code, ...remembered().filter((one) => one !== code)].slice(0, MOST);
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    // the browser keeps nothing, or too much already
  }
}

/** What stood in the editor of this tab last; undefined: nothing did. */
export function draft(): string | undefined {
  try {
    return sessionStorage.getItem(DRAFT) ?? undefined;
  } catch {
    return undefined;
  }
}

export function keepDraft(code: string): void {
  try {
    sessionStorage.setItem(DRAFT, code);
  } catch {
    // as above
  }
}
