// Now: how the service is doing.

import { get, poll } from "./api.js";
import { ago, el, number, pairs, redraw, section, span, table } from "./dom.js";

export function now(root, signal) {
  const figures = el("div");
  const rest = el("details", { class: "quiet" });
  root.replaceChildren(el("h1", {}, "Now"), figures, rest);
  poll(2000, signal, async () => {
    const status = await get("/v1/status", signal);
    document.getElementById("instance").textContent = status.instance;
    redraw(figures, cards(status), alerts(status));
    if (!rest.hasChildNodes()) rest.append(...unknown(status.not_evaluated));
  });
}

function cards(status) {
  return el(
    "div",
    { class: "cards" },
    health(status),
    records(status.records),
    queue(status.queue),
    connections(status.connections),
    status.groups.length > 0 && groups(status.groups),
    certificate(status.certificate_days),
  );
}

function health(status) {
  const { engine } = status;
  return section(
    "Engine",
    el("p", { class: status.ready ? "big good" : "big bad" }, status.ready ? "Ready" : "Not ready"),
    [...(status.reasons ?? [])].map((reason) => el("p", { class: "bad" }, reason)),
    [...(status.warnings ?? [])].map((warning) => el("p", { class: "warn" }, warning)),
    el("p", { class: engine.class === "memory" ? "warn" : null }, sentence(engine.durability)),
    pairs([
      ["engine", engine.name],
      ["records kept", number(engine.records)],
      ["dead letters", engine.dead_letter_bytes > 0 ? `${number(engine.dead_letter_bytes)} bytes` : ""],
      ["running", status.started && ago(status.started).replace(" ago", "")],
      ["version", status.version],
    ]),
  );
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + ".";

function records(flows) {
  const fates = [
    ["received", flows.received],
    ["stored", flows.published],
    ["stored before", flows.duplicate],
    ["dead letters", flows.dead_lettered],
    ["refused", flows.refused],
  ];
  return section(
    "Records",
    el("p", { class: "big" }, `${number(flows.received.per_second)}/s`),
    table(
      ["", { name: "/s", number: true }, { name: "in all", number: true }],
      fates.map(([name, flow]) => [name, number(flow.per_second), number(flow.total)]),
    ),
  );
}

function queue({ depth, capacity }) {
  return section(
    "Queue",
    el("p", { class: depth > 0.8 * capacity ? "big bad" : "big" }, number(depth)),
    el("meter", { min: 0, max: capacity, high: 0.8 * capacity, optimum: 0, value: depth, "aria-label": "queue" }),
    el("p", { class: "quiet" }, `records admitted and not stored yet, of ${number(capacity)}`),
  );
}

function connections(counts) {
  const all = Object.values(counts).reduce((sum, n) => sum + n, 0);
  return section(
    "Devices",
    el("p", { class: "big" }, el("a", { id: "devices-now", href: "#/devices" }, number(all))),
    table(
      ["by", { name: "devices", number: true }],
      Object.entries(counts)
        .sort()
        .map(([transport, n]) => [transport, number(n)]),
      "none is connected",
    ),
  );
}

function groups(all) {
  return section(
    "Consumers",
    table(
      ["group", { name: "behind", number: true }, { name: "unread", number: true }, "oldest"],
      all.map((group) => [
        group.name,
        number(group.lag),
        number(group.unread),
        group.oldest_seconds == null ? "" : span(group.oldest_seconds),
      ]),
    ),
  );
}

function certificate(days) {
  if (days == null) return null;
  return section(
    "Certificate",
    el("p", { class: days < 3 ? "big bad" : days < 14 ? "big warn" : "big" }, `${Math.floor(days)} days`),
    el("p", { class: "quiet" }, "until the TLS certificate expires"),
  );
}

const runbook = "https://git.dev.trmtracking.org/trm/tcp-ingestion/src/branch/main/docs/runbook.md#";

// words is an alert's name as words: IngestionQueueNearFull is queue near full.
const words = (name) =>
  name
    .replace(/^Ingestion/, "")
    .replace(/([a-z])([A-Z])|([A-Z])([A-Z][a-z])/g, "$1$3 $2$4")
    .split(" ")
    .map((word) => (/^[A-Z]+$/.test(word) ? word : word.toLowerCase()))
    .join(" ");

function alerts(status) {
  const rows = status.alerts.map((alert) => [
    el(
      "span",
      { class: alert.severity === "critical" ? "bad" : alert.severity === "warning" ? "warn" : null },
      alert.firing ? alert.severity : `${alert.severity}, ${ago(alert.fires_at, new Date(status.now))}`,
    ),
    el(
      "a",
      { id: alert.name, href: runbook + alert.name.toLowerCase(), rel: "noreferrer", title: alert.name },
      words(alert.name),
    ),
    ago(alert.since, new Date(status.now)),
  ]);
  return section(
    "Alerts that would fire",
    table(["severity", "alert, with its runbook", "since"], rows, "none, by what this instance knows"),
  );
}

const unknown = (all) => [
  el("summary", {}, `${all.length} alerts are not looked at here`),
  el(
    "ul",
    {},
    all.map(({ name, why }) => el("li", {}, `${words(name)}: ${why}`)),
  ),
];
