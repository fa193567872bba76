/** The console: who is logged in, and which view is shown. */
import { events, login, logout, NotLoggedIn, session } from "./api.ts";
import "./app.css";
import { h } from "./dom.ts";
import { executionView } from "./execution-view.ts";
import { logView } from "./log-view.ts";
import { nowView } from "./now-view.ts";
import { registrationsView } from "./registrations-view.ts";
import { tryView } from "./try-view.ts";
import { Notice, type View } from "./view.ts";

interface Route {
  readonly path: string;
  readonly title: string;
  /** Stands in the navigation. */
  readonly listed: boolean;
  readonly open: (argument: string) => View;
}

const ROUTES: readonly Route[] = [
  { path: "now", title: "Now", listed: true, open: nowView },
  { path: "registrations", title: "Registrations", listed: true, open: registrationsView },
  { path: "try", title: "Try", listed: true, open: tryView },
  { path: "log", title: "Log", listed: true, open: logView },
  { path: "execution", title: "Execution", listed: false, open: executionView },
];

const main = h("main", { id: "main", tabindex: "-1" });
let shown: View | undefined;

function show(): void {
  const [, path = "now", argument = ""] = location.hash.split("/").map(decoded);
  const route = ROUTES.find((one) => one.path === path) ?? (ROUTES[0] as Route);
  shown?.close();
  shown = route.open(argument);
  document.title = `${route.title} – Regears`;
  main.replaceChildren(shown.element);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${route.path}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** A part of an address, which somebody may have typed. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The view has changed: who does not see it begins to read there, and who does sees it from the top. */
function move(): void {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function leave(): void {
  removeEventListener("hashchange", move);
  shown?.close();
  shown = undefined;
}

function enter(user: string): void {
  const out = async (): Promise<void> => {
    await logout().catch(() => {});
    leave();
    askWho("You are logged out.");
  };
  document.body.replaceChildren(
    h(
      "a",
      {
        class: "skip",
        href: "#main",
        click: (event) => {
          event.preventDefault();
          main.focus();
        },
      },
      "To the content",
    ),
    h(
      "header",
      {},
      h("strong", { class: "brand" }, "Regears"),
      h(
        "nav",
        { "aria-label": "Views" },
        ...ROUTES.filter(({ listed }) => listed).map(({ path, title }) => h("a", { href: `#/${path}` }, title)),
      ),
      h("span", { class: "who" }, user),
      h("button", { type: "button", class: "quiet", click: () => void out() }, "Log out"),
    ),
    main,
  );
  addEventListener("hashchange", move);
  show();
}

function askWho(text = ""): void {
  const notice = new Notice();
  const user = h("input", { id: "user", name: "user", autocomplete: "username", value: "default", required: true });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password" });
  const submit = (event: Event): void => {
    event.preventDefault();
    void notice.attempt(async () => enter(await login(user.value, password.value)));
  };
  if (text) notice.tell(text);
  document.title = "Log in – Regears";
  document.body.replaceChildren(
    h(
      "main",
      { class: "login" },
      h("h1", {}, "Regears"),
      h(
        "form",
        { submit },
        ...[h("label", { for: "user" }, "User"), user, h("label", { for: "password" }, "Password"), password],
        h("button", { type: "submit" }, "Log in"),
      ),
      notice.element,
    ),
  );
  password.focus();
}

events.onLoggedOut = (): void => {
  leave();
  askWho("The login is over.");
};

async function begin(): Promise<void> {
  try {
    enter(await session());
  } catch (error) {
    // a server without a password has nothing to ask for
    if (error instanceof NotLoggedIn && error.passwordless)
      enter(await login("default", "").catch(() => Promise.reject(error)));
    else throw error;
  }
}

begin().catch((error: unknown) => askWho(error instanceof NotLoggedIn ? "" : String(error)));
