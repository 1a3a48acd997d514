// Devices: who is there, and who was, a page at a time.

import { get, poll } from "./api.js";
import { el, moment, number, redraw, table } from "./dom.js";

const pageSize = 200;
const states = [
  ["connected", "connected"],
  ["gone", "gone"],
  ["all", "all"],
  ["problem", "with a problem"],
];

export function devices(root, signal, parameters) {
  const given = new URLSearchParams(parameters);
  const state = given.get("state") ?? "connected";
  const imei = given.get("imei") ?? "";
  const cursor = given.get("cursor") ?? "";
  const to = (changes) => {
    const next = new URLSearchParams();
    for (const [name, value] of Object.entries({ state, imei, cursor, ...changes })) if (value) next.set(name, value);
    location.hash = `#/devices?${next}`;
  };
  const filter = el("input", {
    id: "filter",
    type: "search",
    class: "grow",
    value: imei,
    inputmode: "numeric",
    placeholder: "IMEI, or how it begins",
    autocomplete: "off",
  });
  const list = el("div");
  const more = el("p");
  root.replaceChildren(
    el("h1", {}, "Devices"),
    el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          to({ imei: filter.value.trim(), cursor: "" });
        },
      },
      el("label", {}, "Device", filter),
      el(
        "label",
        {},
        "State",
        el(
          "select",
          { id: "state", onchange: (event) => to({ state: event.target.value, cursor: "" }) },
          states.map(([value, text]) => el("option", { value, selected: value === state }, text)),
        ),
      ),
      el("button", {}, "Show"),
    ),
    list,
    more,
  );
  const show = (page, rows, next) => {
    redraw(
      list,
      page.incomplete && el("p", { class: "warn" }, page.incomplete),
      el(
        "section",
        {},
        table(columns, rows.map(row), state === "problem" ? "no device has a problem" : "no such device"),
      ),
    );
    redraw(
      more,
      cursor && el("button", { id: "first", type: "button", onclick: () => to({ cursor: "" }) }, "To the first page"),
      " ",
      next && el("button", { id: "next", type: "button", onclick: () => to({ cursor: next }) }, "Next page"),
    );
  };
  const query = new URLSearchParams({ limit: pageSize });
  if (state === "problem") {
    if (cursor) query.set("cursor", cursor);
    poll(30000, signal, async () => {
      const page = await get(`/v1/problems?${query}`, signal);
      show(page, beginning(page.problems, imei), page.next); // the worst first
    });
    return;
  }
  query.set("state", state);
  query.set("verdict", "true");
  // A page begins behind its cursor, and all that begin like this, or are it, come right behind what is before it.
  if (cursor || (imei && !whole(imei))) query.set("cursor", cursor || before(imei));
  else if (imei) query.set("imei", imei);
  poll(3000, signal, async () => {
    const page = await get(`/v1/devices?${query}`, signal);
    const found = beginning(page.devices, imei);
    show(page, found, found.length === page.devices.length && page.next);
  });
}

const beginning = (devices, imei) => devices.filter((device) => device.imei.startsWith(imei));

// before is behind all names, which are letters and digits, that come before this one, and before it.
const before = (name) => name.slice(0, -1) + String.fromCharCode(name.charCodeAt(name.length - 1) - 1) + "~";

// whole reports whether it is all of an IMEI.
const whole = (imei) => imei.length >= 15;

const columns = [
  "device",
  "state",
  "verdict",
  { name: "model", minor: true },
  { name: "by", minor: true },
  { name: "records", number: true, minor: true },
  "last seen",
  { name: "last record", minor: true },
];

const row = (device) => [
  [
    el(
      "a",
      { id: `d-${device.imei}${device.claimed ? "-udp" : ""}`, href: `#/devices/${encodeURIComponent(device.imei)}` },
      device.imei,
    ),
    device.claimed && " by datagrams, nobody vouches for it",
  ],
  device.connected == null ? "" : stateOf(device),
  verdictOf(device.verdict),
  device.model ?? "",
  device.transport ?? "",
  number(device.records),
  moment(device.last_seen),
  device.last_record && [moment(device.last_record.timestamp), ` fix ${device.last_record.fix}`],
];

export const stateOf = (device) =>
  device.connected
    ? el("span", { class: "good" }, "connected")
    : el("span", { class: "quiet" }, device.close_reason ? `gone: ${device.close_reason}` : "gone");

export const verdictOf = (verdict) =>
  verdict && el("span", { class: severity(verdict), title: verdict.code }, verdict.text);

export const severity = (verdict) => ({ fine: "good", problem: "bad" })[verdict.severity] ?? "quiet";
