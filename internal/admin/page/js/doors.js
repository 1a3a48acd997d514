import { el } from "./dom.js";

export function doors(root) {
  root.replaceChildren(el("h1", {}, "doors"));
}
