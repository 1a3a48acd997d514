// Packets of a tap as they come, the newest first.

import { el } from "./dom.js";

export class PacketList {
  /** most is how many packets are kept. */
  constructor(most) {
    this.most = most;
    this.element = el("div", { class: "packets" });
    this.waiting = [];
  }

  /** take shows an event of a tap, with others at once: there may be hundreds a second. */
  take(event, data) {
    if (event === "dropped") this.waiting.push(el("p", { class: "warn" }, `${data.dropped} packets were left out`));
    if (event === "packet") this.waiting.push(packet(data));
    if (this.waiting.length > this.most) this.waiting.shift();
    if (!this.drawing) this.drawing = setTimeout(() => this.draw(), 100);
  }

  draw() {
    this.drawing = null;
    this.element.prepend(...this.waiting.reverse());
    this.waiting = [];
    while (this.element.childElementCount > this.most) this.element.lastElementChild.remove();
  }
}

const bad = ["rejected", "malformed", "cut_off", "turned_away", "refused", "wrong_crc", "command_failed"];
const doubtful = ["duplicate", "dead_lettered", "pending", "empty"];

function packet(p) {
  const kind = bad.includes(p.outcome) ? "bad" : doubtful.includes(p.outcome) ? "warn" : "good";
  return el(
    "details",
    {},
    el(
      "summary",
      {},
      el("time", { datetime: p.time }, p.time.slice(11, 23)),
      ` ${p.direction === "out" ? "→" : "←"} `,
      p.imei ?? p.address ?? "",
      ` ${p.kind} of ${p.size} bytes by ${p.transport}, `,
      el("span", { class: kind }, p.outcome.replaceAll("_", " "), p.reason && ` (${p.reason})`),
    ),
    p.error && el("p", { class: "bad" }, p.error),
    el("p", { class: "quiet" }, p.address ?? ""),
    el("pre", { class: "columns" }, p.text ?? p.hex),
  );
}
