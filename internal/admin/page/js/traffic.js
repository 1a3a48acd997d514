import { el } from "./dom.js";

export function traffic(root) {
  root.replaceChildren(el("h1", {}, "traffic"));
}
