// What a device is asked, and what became of it.

import { attempt, get, poll, post, readOnly, remove } from "./api.js";
import { el, moment, redraw, section, table, twice } from "./dom.js";

/** commands shows a device's commands, and tells those that it knows. */
export function commands(path, signal, onKnown) {
  const list = el("div");
  const say = el("p", { role: "status" });
  const again = () => attempt(signal, load);
  const load = async () => {
    const all = (await get(`${path}/commands`, signal)).commands;
    onKnown(all);
    redraw(
      list,
      table(
        ["command", "state", { name: "asked", minor: true }, "answer", ""],
        all.map((c) => row(c, path, say, again)),
        "none",
      ),
    );
  };
  poll(2000, signal, load);
  return section("Commands", readOnly ? null : sendForm(path, say, again), say, list);
}

function row(c, path, say, again) {
  const cancel = async () => {
    try {
      await remove(`${path}/commands/${encodeURIComponent(c.id)}`);
      say.textContent = "Cancelled.";
    } catch (error) {
      say.textContent = error.message;
    }
    await again();
  };
  const state = { answered: "good", queued: "quiet", sent: "quiet" }[c.state] ?? "warn";
  return [
    el("span", { class: "code" }, c.payload, c.encoding === "hex" && " (hex)"),
    el("span", { class: state }, c.state.replaceAll("_", " ")),
    moment(c.created_at),
    c.response != null ? el("span", { class: "code" }, c.response) : (c.reason ?? ""),
    c.state === "queued" &&
      !readOnly &&
      el("button", { id: `cancel-${c.id}`, type: "button", onclick: cancel }, "Cancel"),
  ];
}

function sendForm(path, say, again) {
  const input = el("input", {
    id: "command",
    class: "grow code",
    required: true,
    maxlength: 4096,
    placeholder: "getinfo",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => confirming.replaceChildren(),
  });
  const confirming = el("span");
  // What is confirmed is the command that was refused, and no longer than it stands in the field.
  const send = async (command, confirm) => {
    confirming.replaceChildren();
    say.textContent = "";
    // An id of our own: a request whose answer is lost may be sent again, and is carried out once.
    const body = { id: `page-${random()}`, command, wait_ms: 0, confirm };
    try {
      const entry = await post(`${path}/commands`, body);
      say.textContent =
        entry.state === "queued" ? "Accepted: it is sent when the device is there, unless it expires before." : "";
      if (input.value === command) input.value = "";
    } catch (error) {
      say.textContent = error.message;
      if (error.status === 428 && input.value === command) {
        confirming.append(twice("Send all the same", "Really?", { id: "confirm" }, () => send(command, true)));
      }
    }
    await again();
  };
  return el(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        send(input.value, false);
      },
    },
    el("label", {}, "Ask the device", input),
    el("button", { id: "send", class: "main" }, "Send"),
    confirming,
  );
}

const random = () =>
  [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, "0")).join("");
