// Where a device was, on a net of meridians and parallels: a map would have to be asked for elsewhere.

import { el, svg } from "./dom.js";

const width = 480;
const height = 320;
const margin = 30;
const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 45];

/** graticule draws the records' positions, the newest record first; nothing if none has one. */
export function graticule(records) {
  const placed = ({ fix, latitude, longitude }) =>
    fix !== "none" && Number.isFinite(latitude) && Number.isFinite(longitude);
  const places = records.filter(placed).reverse();
  if (places.length === 0) return null;
  const last = places.at(-1);
  // A degree of longitude in degrees of latitude, as wide as it is at the last place.
  const narrow = Math.max(0.1, Math.cos((last.latitude * Math.PI) / 180));
  const [south, north] = range(places.map((place) => place.latitude));
  const [west, east] = range(places.map((place) => place.longitude));
  const scale = Math.min((height - 2 * margin) / (north - south), (width - 2 * margin) / ((east - west) * narrow));
  const x = (longitude) => width / 2 + (longitude - (west + east) / 2) * narrow * scale;
  const y = (latitude) => height / 2 - (latitude - (south + north) / 2) * scale;
  const shownX = width / (narrow * scale);
  const shownY = height / scale;
  const step = steps.find((s) => Math.max(shownX, shownY) / s <= 8) ?? 45;
  return el(
    "figure",
    {},
    svg(
      "svg",
      {
        class: "map",
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": `last position ${last.latitude} ${last.longitude}`,
      },
      lines((west + east) / 2, shownX, step).map((longitude) => [
        svg("path", { class: "grid", d: `M${x(longitude)} 0V${height}` }),
        svg("text", { x: x(longitude) + 3, y: height - 4 }, degrees(longitude, "E", "W")),
      ]),
      lines((south + north) / 2, shownY, step).map((latitude) => [
        svg("path", { class: "grid", d: `M0 ${y(latitude)}H${width}` }),
        svg("text", { x: 3, y: y(latitude) - 3 }, degrees(latitude, "N", "S")),
      ]),
      svg("polyline", { class: "track", points: places.map((p) => `${x(p.longitude)},${y(p.latitude)}`).join(" ") }),
      places.map((p) =>
        svg("circle", {
          class: p === last ? "last" : "point",
          cx: x(p.longitude),
          cy: y(p.latitude),
          r: p === last ? 6 : 2.5,
        }),
      ),
    ),
    el(
      "figcaption",
      { class: "quiet" },
      `last at ${last.latitude} ${last.longitude}, fix ${last.fix}, ${last.timestamp}`,
    ),
  );
}

// range is from the least to the greatest, and 0.002 degrees at least.
function range(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const wider = Math.max(0, 0.002 - (high - low)) / 2;
  return [low - wider, high + wider];
}

function lines(middle, shown, step) {
  const all = [];
  for (let at = Math.ceil((middle - shown / 2) / step); at * step <= middle + shown / 2; at++) all.push(at * step);
  return all;
}

const degrees = (value, positive, negative) =>
  `${Number(Math.abs(value).toFixed(3))}°${value > 0 ? positive : value < 0 ? negative : ""}`;
