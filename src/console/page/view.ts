/** What the views have in common. */
import { NotLoggedIn } from "./api.ts";
import { h } from "./dom.ts";

/** One page of the console, while it is shown. */
export interface View {
  readonly element: HTMLElement;
  /** It is shown no longer. */
  close(): void;
}

/** A place for what went wrong last; screen readers tell it. */
export class Notice {
  readonly element = h("p", { class: "notice", role: "status" });

  tell(text: string, bad = false): void {
    this.element.textContent = text;
    this.element.classList.toggle("bad", bad);
  }

  /** Does something, and tells the error if there is one. */
  async attempt(act: () => Promise<void>, done = ""): Promise<void> {
    try {
      await act();
      this.tell(done);
    } catch (error) {
      if (!(error instanceof NotLoggedIn)) this.tell(error instanceof Error ? error.message : String(error), true);
    }
  }
}

/** Does something again and again while somebody looks. @returns ends it */
export function repeat(everyMs: number, act: () => Promise<void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const turn = async (): Promise<void> => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") await act();
    if (!ended) timer = setTimeout(() => void turn(), everyMs);
  };
  const look = (): void => {
    if (document.visibilityState === "visible") void turn();
  };
  document.addEventListener("visibilitychange", look);
  void turn();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

/** A button for something that can not be taken back: it is done at the second press. */
export function sureButton(text: string, label: string, act: () => void): HTMLButtonElement {
  let sure = false;
  const button = h("button", { type: "button", class: "quiet", "aria-label": label }, text);
  const reset = (): void => {
    sure = false;
    button.textContent = text;
    button.setAttribute("aria-label", label);
  };
  button.addEventListener("click", () => {
    if (sure) {
      reset();
      act();
      return;
    }
    sure = true;
    button.textContent = "Sure?";
    button.setAttribute("aria-label", `${label}: press again if you are sure`);
  });
  button.addEventListener("blur", reset);
  return button;
}
