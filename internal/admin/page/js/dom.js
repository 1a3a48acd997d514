// Elements are made here and nowhere else. Strings become text, so whatever a device says can be nothing but text.

/** el makes an element. Properties are attributes, on* are listeners; children are elements, strings or nothing. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** svg is el for drawings. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child != null && child !== false));
  return element;
}

/** section is a card with a heading. */
export const section = (title, ...children) => el("section", {}, el("h2", {}, title), children);

/** pairs is a list of names and values; those without a value are left out. */
export function pairs(entries) {
  return el(
    "dl",
    {},
    entries
      .filter(([, value]) => value != null && value !== "")
      .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

/**
 * table is a table of rows, each an array of cells. Columns are names, or {name, number, minor}: minor ones are left
 * out where there is little room.
 */
export function table(columns, rows, empty = "none") {
  const all = columns.map((column) => (typeof column === "string" ? { name: column } : column));
  const kind = (column) => [column.number && "number", column.minor && "minor"].filter(Boolean).join(" ") || null;
  if (rows.length === 0) return el("p", { class: "quiet" }, empty);
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          all.map((column) => el("th", { class: kind(column), scope: "col" }, column.name)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            row.map((cell, i) => el("td", { class: kind(all[i]) }, cell)),
          ),
        ),
      ),
    ),
  );
}

export const number = (n) => (n == null ? "" : Number(n).toLocaleString("en"));

/** ago is how long ago a time was, in words. */
export function ago(time, now = Date.now()) {
  if (!time) return "";
  const seconds = Math.round((now - new Date(time)) / 1000);
  return seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
}

/** span is a number of seconds in words. */
export function span(seconds) {
  for (const [size, name] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${name}`;
  }
  return `${Math.round(seconds)} s`;
}

/** moment is a time as it is, and how long ago that was. */
export const moment = (time) => time && el("time", { datetime: time, title: time }, ago(time));

/**
 * redraw puts other children into an element, and has the focus stay on the element of the same id. It leaves the
 * element alone while somebody selects or presses something in it, or has yet to press a button twice.
 */
export function redraw(element, ...children) {
  const selection = getSelection();
  const selected = !selection.isCollapsed && element.contains(selection.anchorNode);
  if (selected || element.matches(":active") || element.querySelector("[data-sure]")) return;
  const id = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.replaceChildren(...children.flat(3).filter((child) => child != null && child !== false));
  if (id) document.getElementById(id)?.focus();
}

/** twice is a button for what cannot be taken back: only the second press within a few seconds does it. */
export function twice(text, again, properties, run) {
  const button = el(
    "button",
    {
      type: "button",
      ...properties,
      onclick: () => {
        if (button.dataset.sure) return run(button);
        button.dataset.sure = "yes";
        button.textContent = again;
        setTimeout(() => {
          delete button.dataset.sure;
          button.textContent = text;
        }, 4000);
      },
    },
    text,
  );
  return button;
}
