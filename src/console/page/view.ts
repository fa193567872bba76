/** What the views have in common. */
import { NotLoggedIn } from "./api.ts";
import { h, setText } from "./dom.ts";

/** One page of the console, while it is shown. */
export interface View {
  readonly element: HTMLElement;
  /** It is shown no longer. */
  close(): void;
}

/** A place for what came of the last action, and for what goes wrong while a view looks; screen readers tell it. */
export class Notice {
  readonly #action = h("p", { class: "notice", role: "status" });
  readonly #looking = h("p", { class: "notice bad", role: "status" });
  readonly element = h("div", {}, this.#looking, this.#action);

  tell(text: string, bad = false): void {
    setText(this.#action, text);
    this.#action.classList.toggle("bad", bad);
  }

  /** Does what somebody wants, and tells the error if there is one: that stays until something else is done. */
  async attempt(act: () => Promise<void>, done = ""): Promise<void> {
    try {
      await act();
      this.tell(done);
    } catch (error) {
      if (!(error instanceof NotLoggedIn)) this.tell(messageOf(error), true);
    }
  }

  /** Looks at the server anew, and tells the error for as long as there is one. */
  async look(act: () => Promise<void>): Promise<void> {
    try {
      await act();
      setText(this.#looking, "");
    } catch (error) {
      if (!(error instanceof NotLoggedIn)) setText(this.#looking, messageOf(error));
    }
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What takes long is done less often: it may take this part of the time. */
const PART_OF_TIME = 1 / 50;
/** Milliseconds after which it is done again at most: it may have taken long because the server was just being started. */
const LONGEST_MS = 15_000;

/** Does something again and again while somebody looks. @returns ends it */
export function repeat(everyMs: number, act: () => Promise<void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const turn = async (): Promise<void> => {
    clearTimeout(timer);
    const began = performance.now();
    if (document.visibilityState === "visible") await act();
    const took = performance.now() - began;
    clearTimeout(timer);
    if (!ended) timer = setTimeout(() => void turn(), Math.max(everyMs, Math.min(took / PART_OF_TIME, LONGEST_MS)));
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
