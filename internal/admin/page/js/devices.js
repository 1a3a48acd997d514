import { el } from "./dom.js";

export function devices(root) {
  root.replaceChildren(el("h1", {}, "devices"));
}
