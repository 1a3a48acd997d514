// Traffic: what comes and goes, while somebody looks.

import { stream } from "./api.js";
import { el } from "./dom.js";
import { PacketList } from "./packets.js";

const kept = 200;
const outcomes = [
  "stored",
  "duplicate",
  "empty",
  "dead_lettered",
  "refused",
  "wrong_crc",
  "accepted",
  "rejected",
  "malformed",
  "cut_off",
  "turned_away",
  "command_sent",
  "command_answer",
  "command_failed",
  "pending",
];

export function traffic(root, signal, parameters) {
  const given = new URLSearchParams(parameters);
  const text = (name, label) =>
    el("label", {}, label, el("input", { id: name, name, value: given.get(name) ?? "", autocomplete: "off" }));
  const choice = (name, label, values) =>
    el(
      "label",
      {},
      label,
      el(
        "select",
        { id: name, name },
        ["", ...values].map((value) =>
          el("option", { value, selected: value === given.get(name) }, value.replaceAll("_", " ") || "any"),
        ),
      ),
    );
  const tick = (name, label) =>
    el(
      "label",
      { class: "inline" },
      el("input", { id: name, name, type: "checkbox", value: "true", checked: given.get(name) === "true" }),
      label,
    );
  const list = new PacketList(kept);
  const say = el(
    "p",
    { role: "status", class: "quiet" },
    "Nothing is shown until you start. Each tap is in the server's log.",
  );
  const button = el("button", { id: "tap", class: "main" }, "Start");
  let running = null;

  const start = async (form) => {
    const query = new URLSearchParams({ explain: "text" });
    for (const [name, value] of new FormData(form)) if (value.trim()) query.set(name, value.trim());
    running = new AbortController();
    signal.addEventListener("abort", () => running?.abort());
    button.textContent = "Stop";
    say.textContent = "Opening the tap.";
    try {
      await stream(`/v1/tap?${query}`, running.signal, (event, data) => {
        list.take(event, data);
        if (event === "open") say.textContent = "Waiting for packets.";
        if (event === "packet") say.textContent = `The newest first, ${kept} at most.`;
      });
      say.textContent = "The tap has ended.";
    } catch (error) {
      say.textContent = running?.signal.aborted ? "Stopped." : `No tap: ${error.message}`;
    }
    running = null;
    button.textContent = "Start";
  };

  root.replaceChildren(
    el("h1", {}, "Traffic"),
    el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          if (running) running.abort();
          else start(event.target);
        },
      },
      text("imei", "IMEI"),
      text("address", "Address or network"),
      choice("transport", "By", ["tcp", "tls", "udp", "http", "admin"]),
      choice("outcome", "Outcome", outcomes),
      tick("strangers", "only strangers"),
      tick("positions", "show positions"),
      button,
    ),
    say,
    el("section", {}, list.element),
  );
}
