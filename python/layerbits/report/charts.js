// The information plane, curves over the epochs, and points of a layer. Each function plots one run at one epoch into
// an SVG element, and lists in `svg.marks` the positions and texts that the pointer finds.
"use strict";

const MOST_DOTS = 60; // epochs of a curve with dots
const at = (position, value) => (value === null || value === undefined ? null : position(value));

// Return both ends of an interval; an end that is missing beside the other is infinite. A measure has no interval.
function endsOf(curve, index) {
  const [lower, upper] = [curve.l?.[index] ?? null, curve.u?.[index] ?? null];
  return lower === null && upper === null ? [null, null] : [lower ?? -Infinity, upper ?? Infinity];
}

function intervalText(curve, index, quantity) {
  const ends = curve.l ? ` [${endsOf(curve, index).map(number).join(", ")}]` : "";
  return `${quantity}: ${number(curve.v[index])}${ends}`;
}

const note = (curve, index) => (curve.n ? data.notes[curve.n[index]] : "");

function limitLine(svg, [value, name], scales, isVertical) {
  const position = (isVertical ? scales.x : scales.y)(value);
  const { left, right, top, bottom } = scales;
  const path = isVertical ? `M${position} ${top}V${bottom}` : `M${left} ${position}H${right}`;
  add(svg, "path", { class: "limit", d: path });
  const place = isVertical
    ? { x: position - 4, y: bottom - 6, "text-anchor": "end" }
    : { x: left + 4, y: position - 4 };
  add(svg, "text", { class: "limit-name", ...place }, name);
}

// Plot I(X;T) against I(T;Y) of each layer: the path of the values up to epoch `last`, the rectangles of both
// intervals, and bars through the value, because a rectangle may be thinner than a pixel.
function plotPlane(svg, run, [xName, yName], last, { layers, domain }) {
  const scales = axes(svg, { x: domain(xName), y: domain(yName), xLabel: xName, yLabel: yName });
  const end = Math.min(domain(xName)[1], domain(yName)[1]);
  const start = Math.max(domain(xName)[0], domain(yName)[0]);
  add(svg, "path", {
    class: "diagonal",
    d: line([[scales.x(start), scales.y(start)], [scales.x(end), scales.y(end)]]),
  });
  if (run.limits[xName]) limitLine(svg, run.limits[xName], scales, true);
  if (run.limits[yName]) limitLine(svg, run.limits[yName], scales, false);
  svg.marks = [];
  for (const [index, layer] of layers) {
    const [x, y] = [run.curves[xName]?.[index], run.curves[yName]?.[index]];
    if (!x || !y || last < 0) continue;
    const group = colored(svg, "g", layer, { "data-layer": index });
    const [across, up] = [clamped(scales.x, domain(xName)), clamped(scales.y, domain(yName))];
    const sides = (i) => [...endsOf(x, i).map((end) => at(across, end)), ...endsOf(y, i).map((end) => at(up, end))];
    const box = (i) => {
      const [l, r, b, t] = sides(i);
      if ([l, b].includes(null)) return "";
      return `M${l.toFixed(1)} ${b.toFixed(1)}H${r.toFixed(1)}V${t.toFixed(1)}H${l.toFixed(1)}Z`;
    };
    const position = (i) => [at(scales.x, x.v[i]), at(scales.y, y.v[i])];
    const earlier = Array.from({ length: last }, (_, i) => i);
    add(group, "path", { class: "earlier", d: earlier.map(box).join("") });
    add(group, "path", { class: "path", d: line([...earlier, last].map(position)) });
    add(group, "path", { class: "interval", d: box(last) });
    const [px, py] = position(last);
    if (px === null || py === null) continue;
    if (box(last)) {
      const [l, r, b, t] = sides(last);
      add(group, "path", { class: "bars", d: `M${l} ${py}H${r}M${px} ${b}V${t}` });
    }
    add(group, "circle", { cx: px, cy: py, r: 4.5, class: x.s?.[last] ? "hollow" : "filled" });
    const texts = [intervalText(x, last, xName), intervalText(y, last, yName), note(x, last), note(y, last)];
    svg.marks.push({ x: px, y: py, text: [`${layer.full}, epoch ${run.epochs[last]}`, ...texts] });
  }
}

// Plot a quantity of each layer over the epochs, with bands; a vertical line marks epoch `last`.
function plotCurves(svg, run, quantity, last, { layers, domain, epochs }) {
  const hasSeveral = epochs[0] < epochs[1];
  const isLogarithmic = epochs[0] >= 0 && hasSeveral;
  const x = hasSeveral ? epochs : [epochs[0] - 0.5, epochs[0] + 0.5];
  const y = domain(quantity);
  const scales = axes(svg, { x, y, xLabel: "epoch", yLabel: quantity, isLogarithmic, epochs });
  if (run.limits[quantity]) limitLine(svg, run.limits[quantity], scales, false);
  if (last >= 0) {
    const position = scales.x(run.epochs[last]);
    add(svg, "path", { class: "now", d: `M${position} ${scales.top}V${scales.bottom}` });
  }
  svg.marks = [];
  const points = (column) => run.epochs.map((epoch, i) => [scales.x(epoch), at(scales.y, column[i])]);
  // A band has a gap where an interval is missing, and reaches the edge of the chart at an infinite end; a single
  // interval is a bar.
  const band = (l, u) => {
    const up = clamped(scales.y, y);
    const intervals = run.epochs.map((_, i) => endsOf({ l, u }, i));
    const parts = [[]];
    intervals.forEach(([lower], i) => (lower === null ? parts.push([]) : parts.at(-1).push(i)));
    const outline = (part) => {
      const edge = (end) => part.map((i) => [scales.x(run.epochs[i]), up(intervals[i][end])]);
      const [below, above] = [edge(0), edge(1)];
      if (part.length > 1) return line([...above, ...below.reverse()]);
      const [[x, low], [, high]] = [below[0], above[0]];
      return line([[x - 2, low], [x + 2, low], [x + 2, high], [x - 2, high]]);
    };
    return parts.filter((part) => part.length).map((part) => `${outline(part)}Z`).join("");
  };
  for (const [index, layer] of layers) {
    const curve = run.curves[quantity]?.[index];
    if (!curve) continue;
    const group = colored(svg, "g", layer, { "data-layer": index });
    if (curve.l) add(group, "path", { class: "band", d: band(curve.l, curve.u) });
    if (curve.a) add(group, "path", { class: "band", d: band(curve.a, curve.b) });
    add(group, "path", { class: "curve", d: line(points(curve.v)) });
    // Lines of no length have round ends, which are dots.
    const known = run.epochs.length <= MOST_DOTS ? points(curve.v).filter((point) => point[1] !== null) : [];
    add(group, "path", { class: "dots", d: known.map(([px, py]) => `M${px} ${py}h0`).join("") });
    points(curve.v).forEach(([px, py], i) => {
      if (py === null) return;
      const text = [`${layer.full}, epoch ${run.epochs[i]}`, intervalText(curve, i, quantity), note(curve, i)];
      svg.marks.push({ x: px, y: py, epoch: run.epochs[i], text });
    });
  }
}

// Plot points with two coordinates, or with three, turned by the angles of `view`, inside a square or a cube.
function plotPoints(svg, run, last, classes, view) {
  const size = Math.min(svg.parentElement.clientWidth || 360, 420);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("height", size);
  if (last < 0) return;
  const is3d = run.points[last][0].length === 3;
  const limit = run.limit;
  const [c, s, ce, se] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
  const unit = size / (is3d ? 3.7 : 2.5) / limit;
  const project = ([x, y, z]) =>
    is3d
      ? [size / 2 + unit * (c * x + s * y), size / 2 - unit * (ce * z + se * (c * y - s * x))]
      : [size / 2 + unit * x, size / 2 - unit * y];
  const corners = is3d ? [0, 1, 2, 3, 4, 5, 6, 7] : [0, 1, 2, 3];
  const corner = (i) => [0, 1, 2].map((axis) => (i & (1 << axis) ? limit : -limit));
  const pairs = corners.flatMap((i) => [1, 2, 4].map((bit) => [i, i | bit]));
  const edges = pairs.filter(([i, j]) => i < j && corners.includes(j));
  add(svg, "path", { class: "cube", d: edges.map((edge) => line(edge.map((i) => project(corner(i))))).join("") });
  for (const axis of is3d ? [0, 1, 2] : [0, 1]) {
    const [x, y] = project([0, 1, 2].map((i) => (i === axis ? limit * 1.12 : i === 2 && !is3d ? 0 : -limit)));
    add(svg, "text", { class: "axis-name", x, y, "text-anchor": "middle" }, `t${axis + 1}`);
  }
  const paths = new Map();
  run.points[last].forEach((point, i) => {
    const [x, y] = project(point);
    const label = run.labels[last][i];
    paths.set(label, `${paths.get(label) ?? ""}M${x.toFixed(1)} ${y.toFixed(1)}h0`);
  });
  for (const [label, d] of paths) {
    const group = colored(svg, "g", classes[label], { "data-class": label });
    add(group, "path", { class: "points", d });
  }
}
