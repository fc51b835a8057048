// Elements, scales and axes in SVG. A text from the data enters the page as textContent or as an attribute alone.
"use strict";

function add(parent, tag, attributes = {}, text = "") {
  const isSvg = tag === "svg" || parent instanceof SVGElement;
  const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== "") element.textContent = text;
  return parent.appendChild(element);
}

// Colours are CSS variables, so that they follow the colour scheme without a new plot.
function colored(parent, tag, { light, dark }, attributes = {}) {
  const element = add(parent, tag, { ...attributes, class: `colored ${attributes.class ?? ""}` });
  element.style.setProperty("--light", light);
  element.style.setProperty("--dark", dark);
  return element;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6) ? value.toExponential(3) : value.toFixed(4);
}

// Return the ends of the finite numbers; `numbers` may have millions of entries.
function extent(numbers) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of numbers) {
    if (value === null || value === undefined) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 1];
}

function scale([low, high], [start, end], isLogarithmic = false) {
  const map = !isLogarithmic ? (value) => value : low > 0 ? Math.log : Math.log1p; // an axis may begin at epoch 0
  const span = map(high) - map(low) || 1;
  return (value) => start + ((map(value) - map(low)) / span) * (end - start);
}

// Return a scale that maps numbers beyond the ends of an axis, such as an infinite end of an interval, to its ends.
const clamped = (position, [low, high]) => (value) => position(Math.max(low, Math.min(high, value)));

// Return at most about `most` positions of ticks, whose distances are at least `least` on a linear axis.
function ticks([low, high], isLogarithmic, most, least = 0) {
  const values = [];
  if (isLogarithmic) {
    const first = low || 1;
    if (low === 0) values.push(0);
    const ratio = high / first;
    const steps = ratio < 10 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : ratio < 200 ? [1, 2, 5] : [1];
    for (let power = Math.floor(Math.log10(first)); 10 ** power <= high; power++) {
      values.push(...steps.map((step) => step * 10 ** power).filter((value) => value >= low && value <= high));
    }
    return values.length ? values : ticks([low, high], false, most, least);
  }
  const rough = Math.max((high - low) / most, least) || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5].find((multiple) => multiple * unit >= rough) ?? 10);
  for (let index = Math.ceil(low / step); index * step <= high + step * 1e-9; index++) values.push(index * step);
  return values;
}

// Return the first and the last epoch, and those ticks between them whose labels overlap no other label.
function epochTicks([first, last], candidates, position) {
  const chosen = [...new Set([first, last])];
  const distance = (a, b) => Math.abs(position(a) - position(b));
  const room = (a, b) => 4 * `${a}${b}`.length + 8; // a digit has at most 8 pixels
  for (const tick of candidates) {
    if (first < tick && tick < last && chosen.every((other) => distance(tick, other) >= room(tick, other))) {
      chosen.push(tick);
    }
  }
  return chosen;
}

// Empty `svg`, plot axes in it, and return the scales of both axes. `epochs` are the ends of the epochs on the x axis.
function axes(svg, { x, y, xLabel, yLabel, isLogarithmic = false, epochs = null }) {
  const width = svg.parentElement.clientWidth || 480;
  const height = Math.min(420, Math.max(260, width * 0.7));
  const [left, right, top, bottom] = [52, width - 12, 14, height - 42];
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const scales = { x: scale(x, [left, right], isLogarithmic), y: scale(y, [bottom, top]), left, right, top, bottom };
  const grid = add(svg, "g", { class: "axis" });
  for (const value of ticks(y, false, 5)) {
    const position = scales.y(value);
    add(grid, "path", { d: `M${left} ${position}H${right}` });
    add(grid, "text", { x: left - 6, y: position + 4, "text-anchor": "end" }, String(+value.toPrecision(6)));
  }
  const xTicks = ticks(x, isLogarithmic, width / 90, epochs ? 1 : 0);
  for (const value of epochs ? epochTicks(epochs, xTicks, scales.x) : xTicks) {
    add(grid, "path", { d: `M${scales.x(value)} ${bottom}v4` });
    const text = String(+value.toPrecision(6));
    const center = Math.min(scales.x(value), width - 4 * text.length); // a digit has at most 8 pixels
    add(grid, "text", { x: center, y: bottom + 17, "text-anchor": "middle" }, text);
  }
  add(grid, "text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel);
  const middle = (top + bottom) / 2;
  add(grid, "text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, yLabel);
  return scales;
}

// Return an SVG path through points, with gaps where a coordinate is null.
function line(points) {
  let isAfterGap = true;
  let path = "";
  for (const [x, y] of points) {
    if (x === null || y === null) {
      isAfterGap = true;
      continue;
    }
    path += `${isAfterGap ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isAfterGap = false;
  }
  return path;
}
