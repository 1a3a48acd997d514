// The API, asked with the token of this tab. It is kept in sessionStorage and sent in a header by these scripts alone:
// a cookie would also go to whatever else is served on this host, whatever its port.

const key = "token";

export const readOnly = document.documentElement.dataset.readOnly === "true";

export const token = {
  get: () => sessionStorage.getItem(key) ?? "",
  set: (value) => sessionStorage.setItem(key, value),
  clear: () => sessionStorage.removeItem(key),
};

/** Refused is an answer other than success: its status, and its body if that is one of the API. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the server answers ${status}`);
    this.status = status;
    this.body = body ?? {};
  }
}

async function send(method, path, body, signal) {
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "omit",
    redirect: "error",
    cache: "no-store",
  });
  if (response.ok) return response;
  const refused = new Refused(response.status, await response.json().catch(() => null));
  if (refused.status === 401) document.dispatchEvent(new CustomEvent("signed-out"));
  throw refused;
}

export const get = async (path, signal) => (await send("GET", path, undefined, signal)).json();
export const post = async (path, body, signal) => (await send("POST", path, body, signal)).json();
export const remove = async (path, signal) => (await send("DELETE", path, undefined, signal)).json();

/** stream reads server-sent events until the signal aborts or the server ends them: each event's name and data. */
export async function stream(path, signal, onEvent) {
  const response = await send("GET", path, undefined, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const fields = event
        .split("\n")
        .map((line) => line.match(/^(event|data): ?(.*)$/))
        .filter(Boolean);
      const data = fields
        .filter(([, name]) => name === "data")
        .map(([, , text]) => text)
        .join("\n");
      if (data) onEvent(fields.find(([, name]) => name === "event")?.[2] ?? "message", JSON.parse(data));
    }
  }
}

/** poll attempts something now and every so many ms until the signal aborts, but not while nobody looks. */
export async function poll(every, signal, run) {
  while (!signal.aborted) {
    if (!document.hidden) await attempt(signal, run);
    await pause(every, signal);
  }
}

/** attempt runs something. What goes wrong is said at the top of the page until it works again. */
export async function attempt(signal, run) {
  try {
    await run(signal);
    trouble("");
  } catch (error) {
    if (!signal.aborted) trouble(error.message);
  }
}

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });

/** trouble says at the top of the page what is wrong; nothing if the text is empty. */
export function trouble(text) {
  const note = document.getElementById("trouble");
  note.textContent = text;
  note.hidden = !text;
}
