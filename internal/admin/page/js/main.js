// The shell: which view is shown, the theme, and signing in. A view is a function that fills an element, and does what
// it does until its signal aborts.

import { readOnly, token, trouble } from "./api.js";
import { device } from "./device.js";
import { devices } from "./devices.js";
import { el } from "./dom.js";
import { doors } from "./doors.js";
import { now } from "./now.js";
import { traffic } from "./traffic.js";

const views = [
  [/^#\/now$/, now],
  [/^#\/devices\/([^/?]+)$/, device],
  [/^#\/devices(?:\?(.*))?$/, devices],
  [/^#\/traffic(?:\?(.*))?$/, traffic],
  [/^#\/doors$/, doors],
];
const content = document.getElementById("content");
let shown = new AbortController();

function show() {
  shown.abort();
  shown = new AbortController();
  trouble("");
  for (const link of document.querySelectorAll("nav a")) {
    if (location.hash.startsWith(link.hash)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("sign-out").hidden = !token.get();
  content.replaceChildren();
  if (!readOnly && !token.get()) {
    signIn();
    return;
  }
  for (const [pattern, view] of views) {
    const match = location.hash.match(pattern);
    if (match) {
      view(content, shown.signal, ...match.slice(1).map((part) => decodeURIComponent(part ?? "")));
      return;
    }
  }
  location.replace("#/now");
}

function signIn() {
  shown.abort();
  shown = new AbortController();
  const input = el("input", {
    type: "password",
    id: "token",
    autocomplete: "current-password",
    class: "grow",
    required: true,
  });
  content.replaceChildren(
    el(
      "section",
      {},
      el("h1", {}, "Sign in"),
      el(
        "p",
        {},
        token.get() ? "The token is wrong." : "This API needs its token, which is ADMIN_TOKEN of the server.",
        " It stays in this tab.",
      ),
      el(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            token.set(input.value.trim());
            show();
          },
        },
        el("label", {}, "Token", input),
        el("button", { class: "main" }, "Sign in"),
      ),
    ),
  );
  input.focus();
}

const themes = ["auto", "light", "dark"];

function theme(next) {
  const button = document.getElementById("theme");
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  button.textContent = `Theme: ${next}`;
  button.onclick = () => {
    const after = themes[(themes.indexOf(next) + 1) % themes.length];
    localStorage.setItem("theme", after);
    theme(after);
  };
}

theme(themes.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
document.addEventListener("signed-out", signIn);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash says which view it is
  content.focus();
});
document.getElementById("sign-out").addEventListener("click", () => {
  token.clear();
  show();
});
window.addEventListener("hashchange", () => {
  show();
  content.focus();
});
show();
