declare module "*.py" {
  const text: string;
  export default text;
}
declare module "*.css";

declare module "virtual:completions" {
  import type { Completion } from "@codemirror/autocomplete";
  export const COMPLETIONS: { readonly names: Completion[]; readonly methods: Completion[] };
}
