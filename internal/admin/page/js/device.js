// One device: what is wrong with it, what it did, what it sent last, and what it is asked.

import { get, poll, stream } from "./api.js";
import { commands } from "./commands.js";
import { severity, stateOf } from "./devices.js";
import { el, moment, number, pairs, redraw, section, table } from "./dom.js";
import { PacketList } from "./packets.js";
import { lastRecords } from "./records.js";

export function device(root, signal, imei) {
  const path = `/v1/devices/${encodeURIComponent(imei)}`;
  const verdict = el("div");
  const presence = el("div");
  const records = lastRecords(path, signal);
  const timeline = el("div");
  const known = { device: null, commands: [] };
  const draw = () => redraw(timeline, section("Timeline", table(["when", "what"], events(known), "nothing is known")));
  root.replaceChildren(
    el("h1", {}, imei),
    verdict,
    el("div", { class: "cards" }, presence, timeline, records.place),
    commands(path, signal, (all) => {
      known.commands = all;
      draw();
    }),
    records.table,
    frames(imei, signal),
  );
  poll(3000, signal, async () => {
    try {
      known.device = await get(path, signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      redraw(verdict, error.body.verdict && judged(error.body.verdict));
      redraw(presence, section("Presence", el("p", {}, error.message)));
      return;
    }
    redraw(verdict, known.device.verdict && judged(known.device.verdict));
    redraw(presence, section("Presence", facts(known.device)));
    draw();
  });
}

const judged = (verdict) =>
  section(
    "Why",
    el("p", { class: `big ${severity(verdict)}` }, verdict.text),
    verdict.evidence?.length > 0 &&
      el(
        "ul",
        {},
        verdict.evidence.map((line) => el("li", {}, line)),
      ),
    verdict.next && el("p", {}, el("strong", {}, "Next: "), verdict.next),
  );

function facts(d) {
  const since = d.counts_since_stored ?? {};
  return pairs([
    ["state", stateOf(d)],
    ["model", d.model],
    ["firmware", d.firmware],
    ["family", d.family],
    ["instance", d.instance],
    ["that instance", d.instance_lost && ["not heard of for ", moment(d.instance_lost)]],
    ["by", d.transport],
    ["address", d.remote],
    ["codec", d.codec],
    ["connected", moment(d.since)],
    ["first seen", moment(d.first_seen)],
    ["last seen", moment(d.last_seen)],
    ["last stored", moment(d.last_stored)],
    ["records", d.counts ? counts(d.counts) : number(d.records)],
    ["since a record was stored", Object.values(since).some((n) => n > 0) ? counts(since) : ""],
    ["logins", d.logins && `${number(d.logins)}, ${number(d.taken_over)} taken over`],
    ["last error", d.last_error && `${d.last_error.cause}: ${d.last_error.text}`],
    ["its first bytes", d.last_error?.first && el("span", { class: "code" }, hex(d.last_error.first))],
  ]);
}

const counts = (c) =>
  [
    ["stored", c.stored],
    ["stored before", c.duplicate],
    ["dead letters", c.dead_lettered],
    [c.refused_reason ? `refused (${c.refused_reason})` : "refused", c.refused],
    ["messages", c.messages],
    ["empty frames", c.empty_frames],
    ["repeated frames", c.repeated_frames],
    ["wrong CRCs", c.wrong_crc],
  ]
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${number(n)} ${name}`)
    .join(", ");

const hex = (base64) => [...atob(base64)].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");

/** events is what happened, the latest first. */
function events({ device: d, commands: asked }) {
  const all = [];
  const add = (time, what) => time && all.push([time, what]);
  if (d) {
    add(d.first_seen, "first seen");
    add(d.since, `connected by ${d.transport} from ${d.remote}`);
    add(d.closed_at, `connection closed: ${d.close_reason}`);
    add(d.login?.at, [
      "login ",
      d.login?.answer,
      d.login?.reason && ` (${d.login.reason})`,
      ` from ${d.login?.remote}`,
    ]);
    for (const t of d.take_overs ?? []) add(t.at, `${t.from} taken over${t.by ? ` by ${t.by}` : ""}`);
    add(d.last_error?.at, `error: ${d.last_error?.text}`);
    add(d.last_stored, "last record stored");
  }
  for (const c of asked) {
    add(c.created_at, `asked: ${c.payload}`);
    add(c.finished_at, `${c.state}: ${c.response ?? c.reason ?? ""}`);
  }
  all.sort(([a], [b]) => new Date(b) - new Date(a));
  return all.slice(0, 50).map(([time, what]) => [moment(time), what]);
}

/** frames shows what comes and goes while somebody looks; nothing of it is kept. */
function frames(imei, signal) {
  const list = new PacketList(20);
  const say = el("p", { class: "quiet" }, "Frames are shown from now on, byte by byte.");
  const run = async () => {
    try {
      await stream(`/v1/tap?${new URLSearchParams({ imei, explain: "text" })}`, signal, (event, data) =>
        list.take(event, data),
      );
      say.textContent = "The tap has ended; open the page anew for another one.";
    } catch (error) {
      if (!signal.aborted) say.textContent = `No frames: ${error.message}`;
    }
  };
  run();
  return section("Last frames", say, list.element);
}
