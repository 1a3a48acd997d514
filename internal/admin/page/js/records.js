// A device's last records: where it was, and what they say by name and unit.

import { get, poll } from "./api.js";
import { el, redraw, section, table } from "./dom.js";
import { graticule } from "./graticule.js";

/** lastRecords keeps two elements up to date: the last place, and a table of records. */
export function lastRecords(path, signal) {
  const shown = { place: el("div"), table: el("div") };
  poll(5000, signal, async () => {
    let list;
    try {
      list = await get(`${path}/records?limit=50`, signal);
    } catch (error) {
      if (error.status !== 501) throw error;
      redraw(shown.table, section("Last records", el("p", { class: "quiet" }, `Not from here: ${error.message}.`)));
      return;
    }
    const drawn = graticule(list.records);
    redraw(shown.place, drawn && section("Last place", drawn));
    redraw(shown.table, recordTable(list));
  });
  return shown;
}

const recordTable = (list) =>
  section(
    "Last records",
    !list.whole &&
      el("p", { class: "quiet" }, "Only the newest records of all devices were looked at; there may be more."),
    table(
      ["time", "fix", { name: "position", minor: true }, { name: "km/h", number: true }, "what it says"],
      list.records.map((record) => [
        el("time", { datetime: record.timestamp }, record.timestamp, record.clock && ` (clock ${record.clock})`),
        record.fix,
        record.latitude == null ? "" : `${record.latitude} ${record.longitude}`,
        record.speed,
        said(record, list.units),
      ]),
    ),
  );

function said(record, units) {
  const signals = Object.entries(record.signals ?? {}).map(([name, value]) =>
    `${name} ${text(value)} ${units[name] ?? ""}`.trim(),
  );
  const faults = Object.entries(record.faults ?? {}).map(([name, why]) => `FAULT ${name} ${text(why)}`);
  const all = [...signals, ...faults];
  return all.length > 0 ? all.join(", ") : `${Object.keys(record.attributes ?? {}).length} elements without a name`;
}

const text = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
