// Doors: who knocked and never got in, and what was let in and cannot be read.

import { attempt, get, poll, post, readOnly, remove } from "./api.js";
import { el, moment, number, redraw, section, table, twice } from "./dom.js";

export function doors(root, signal) {
  const knocked = el("div");
  root.replaceChildren(el("h1", {}, "Doors"), knocked, deadLetters(signal));
  poll(5000, signal, async () => redraw(knocked, strangers((await get("/v1/strangers", signal)).strangers)));
}

function strangers(all) {
  const causes = new Map();
  for (const s of all) causes.set(s.cause, (causes.get(s.cause) ?? 0) + s.count);
  const byCause = [...causes].sort(([, a], [, b]) => b - a);
  return section(
    "Strangers",
    table(
      ["cause", { name: "times", number: true }],
      byCause.map(([cause, n]) => [words(cause), number(n)]),
      "nobody has knocked and not got in",
    ),
    all.length > 0 &&
      table(
        [
          "when",
          { name: "times", number: true, minor: true },
          "address",
          "at",
          "why",
          { name: "first bytes", minor: true },
        ],
        all
          .slice(0, 200)
          .map((s) => [
            moment(s.at),
            number(s.count),
            s.address,
            s.door,
            [s.text, s.imei && [" ", el("a", { href: `#/devices/${encodeURIComponent(s.imei)}` }, s.imei)]],
            el("span", { class: "code" }, s.first ?? ""),
          ]),
      ),
  );
}

const words = (cause) => cause.replaceAll("_", " ");

function deadLetters(signal) {
  const list = el("div");
  const shown = el("div");
  const say = el("p", { role: "status" });
  const pages = el("p");
  let after = "";
  const to = (ref) => {
    after = ref;
    attempt(signal, load);
  };
  const load = async () => {
    let page;
    try {
      page = await get(`/v1/deadletters?${new URLSearchParams({ after })}`, signal);
    } catch (error) {
      if (error.status === 501) {
        redraw(list, el("p", { class: "quiet" }, error.message));
        return;
      }
      if (error.status !== 410) throw error;
      after = ""; // where the page began was replayed or deleted
      return;
    }
    redraw(
      list,
      table(
        [
          "received",
          "device",
          "reason",
          { name: "codec", minor: true },
          { name: "bytes", number: true, minor: true },
          "",
        ],
        page.dead_letters.map((letter) => row(letter, act, show)),
        "none",
      ),
    );
    redraw(
      pages,
      after && el("button", { id: "first", type: "button", onclick: () => to("") }, "To the first page"),
      " ",
      page.next && el("button", { id: "next", type: "button", onclick: () => to(page.next) }, "Next page"),
    );
  };
  const act = async (run) => {
    try {
      say.textContent = await run();
    } catch (error) {
      say.textContent = error.message;
    }
    shown.replaceChildren();
    await attempt(signal, load);
  };
  const show = (letter) =>
    attempt(signal, async () => {
      const whole = await get(path(letter), signal);
      shown.replaceChildren(
        el("h2", {}, `Dead letter ${letter.ref} of ${letter.device_id}`),
        el("pre", { class: "columns" }, whole.explained),
      );
      shown.scrollIntoView({ block: "nearest" });
    });
  poll(5000, signal, load);
  return section(
    "Dead letters",
    el("p", { class: "quiet" }, "Acknowledged and kept, but not published."),
    say,
    list,
    pages,
    shown,
  );
}

const path = (letter) => `/v1/deadletters/${encodeURIComponent(letter.ref)}`;

function row(letter, act, show) {
  const replay = () =>
    act(async () => {
      const done = await post(`${path(letter)}/replay`, {});
      return `Replayed: ${done.published} records stored, ${done.duplicates} stored before, ${done.messages} messages.`;
    });
  const deleted = () =>
    act(async () => {
      await remove(path(letter));
      return "Deleted.";
    });
  return [
    moment(letter.received),
    el("a", { href: `#/devices/${encodeURIComponent(letter.device_id)}` }, letter.device_id),
    letter.reason,
    letter.codec,
    number(letter.bytes),
    [
      el(
        "button",
        { id: `show-${letter.ref}`, type: "button", onclick: () => act(async () => "").then(() => show(letter)) },
        "Show",
      ),
      " ",
      !readOnly && [
        el("button", { id: `replay-${letter.ref}`, type: "button", onclick: replay }, "Replay"),
        " ",
        twice("Delete", "Really delete?", { id: `delete-${letter.ref}` }, deleted),
      ],
    ],
  ];
}
