import { el } from "./dom.js";

export function device(root) {
  root.replaceChildren(el("h1", {}, "device"));
}
