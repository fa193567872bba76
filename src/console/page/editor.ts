/** The editor of scripts: CodeMirror with Python, and completion of what scripts see. */
import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  type CompletionContext,
  type CompletionResult,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { globalCompletion, localCompletionSource, python } from "@codemirror/lang-python";
import {
  bracketMatching,
  defaultHighlightStyle,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { Compartment, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { COMPLETIONS } from "virtual:completions";

const dark = HighlightStyle.define(
  [
    { tag: tags.keyword, color: "#c792ea" },
    { tag: [tags.string, tags.special(tags.string)], color: "#a5d67b" },
    { tag: [tags.number, tags.bool, tags.null], color: "#f2a36b" },
    { tag: tags.comment, color: "#9aa7b3" },
    { tag: [tags.function(tags.variableName), tags.function(tags.definition(tags.variableName))], color: "#7cb7ff" },
    { tag: tags.className, color: "#ffd580" },
  ],
  { themeType: "dark" },
);

const theme = (isDark: boolean) =>
  EditorView.theme(
    {
      "&": { fontSize: "0.9rem", backgroundColor: "var(--field)", color: "var(--text)" },
      "&.cm-focused": { outline: "2px solid var(--accent)" },
      ".cm-content": { fontFamily: "var(--mono)", minHeight: "10rem", caretColor: "var(--text)" },
      ".cm-scroller": { maxHeight: "60vh", overflow: "auto" },
      ".cm-gutters": { backgroundColor: "var(--field)", color: "var(--soft)", border: "none" },
      ".cm-activeLine": { backgroundColor: "transparent" },
      ".cm-cursor": { borderLeftColor: "var(--text)" },
      ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--text)", border: "1px solid var(--line)" },
    },
    { dark: isDark },
  );

export class Editor {
  readonly #view: EditorView;
  readonly #look = new Compartment();
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");

  /** @param place where it is put @param run is called for Ctrl-Enter */
  constructor(place: HTMLElement, text: string, run: () => void) {
    // in a shadow root styles are sheets of the document's object model, which a strict content policy allows
    const root = place.attachShadow({ mode: "open" });
    const runs = {
      key: "Mod-Enter",
      run: () => {
        run();
        return true;
      },
    };
    this.#view = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: text,
        extensions: [
          ...[
            lineNumbers(),
            history(),
            drawSelection(),
            indentOnInput(),
            bracketMatching(),
            closeBrackets(),
            highlightActiveLine(),
          ],
          ...[indentUnit.of("    "), EditorState.tabSize.of(4), python()],
          autocompletion({ override: [complete, globalCompletion, localCompletionSource] }),
          // Escape, then Tab, leaves the editor
          keymap.of([
            runs,
            ...closeBracketsKeymap,
            ...completionKeymap,
            ...historyKeymap,
            ...defaultKeymap,
            indentWithTab,
          ]),
          EditorView.contentAttributes.of({ "aria-label": "Script. Escape, then Tab leaves the editor" }),
          this.#look.of(this.#colours),
        ],
      }),
    });
    this.#dark.addEventListener("change", this.#recolour);
  }

  get text(): string {
    return this.#view.state.doc.toString();
  }

  set text(text: string) {
    this.#view.dispatch({ changes: { from: 0, to: this.#view.state.doc.length, insert: text } });
    this.#view.focus();
  }

  close(): void {
    this.#dark.removeEventListener("change", this.#recolour);
    this.#view.destroy();
  }

  get #colours() {
    return [theme(this.#dark.matches), syntaxHighlighting(this.#dark.matches ? dark : defaultHighlightStyle)];
  }

  readonly #recolour = (): void => this.#view.dispatch({ effects: this.#look.reconfigure(this.#colours) });
}

/** Names of the runtime: methods after a dot, all else where a name begins. */
function complete(context: CompletionContext): CompletionResult | null {
  const method = context.matchBefore(/\.\w*/);
  const word = method ?? context.matchBefore(/\w+/);
  if (!word || (!method && word.from === word.to && !context.explicit)) return null;
  return {
    from: method ? word.from + 1 : word.from,
    options: method ? COMPLETIONS.methods : COMPLETIONS.names,
    validFor: /^\w*$/,
  };
}
