// The state of the page: an epoch, two quantities, hidden layers and hidden runs; every change plots all charts again.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const slider = byId("epoch");
const hint = add(document.body, "div", { id: "hint", role: "status", hidden: "" });
const INITIAL_RUNS = 6;

const runNames = [...new Set([...data.information, ...data.training, ...data.points].map((run) => run.full))];
const state = {
  hiddenRuns: new Set(runNames.slice(INITIAL_RUNS)),
  hiddenLayers: new Set(),
  view: { turn: -0.42, tilt: 0.48 }, // the corners of the cube stand farthest apart
};
const epochs = [...new Set([...data.information, ...data.points].flatMap((run) => run.epochs))].sort((a, b) => a - b);
const lastIndex = (run) => run.epochs.findLastIndex((epoch) => epoch <= epochs[slider?.value]);
const visibleRuns = (runs) => runs.filter((run) => !state.hiddenRuns.has(run.full));
const withCurves = (quantities) => data.information.filter((run) => quantities.every((name) => name in run.curves));
const visibleLayers = () => [...data.layers.entries()].filter(([index]) => !state.hiddenLayers.has(index));

// The ends of an axis: those of all runs and epochs, with 0, so that runs can be compared and nothing moves.
const domains = new Map();
function domain(quantity) {
  if (!domains.has(quantity)) {
    const runs = [...data.information, ...data.training];
    const curves = runs.flatMap((run) => Object.values(run.curves[quantity] ?? {}));
    const limits = runs.flatMap((run) => run.limits[quantity]?.[0] ?? []);
    const ends = curves.flatMap((curve) => (curve.l ? [...curve.l, ...curve.u] : curve.v));
    const [low, high] = extent([...limits, ...ends]);
    const start = quantity.startsWith("h(") ? low : Math.min(0, low);
    domains.set(quantity, [start, high + (high - start || 1) * 0.04]);
  }
  return domains.get(quantity);
}

// Make a panel for each visible run, and plot it: `plot(svg, run, index of the epoch)`.
function plotPanels(container, runs, plot) {
  const shown = visibleRuns(runs);
  const names = shown.map((run) => run.full).join("\n");
  if (container.dataset.names !== names) {
    container.dataset.names = names;
    container.replaceChildren();
    for (const run of shown) {
      const panel = add(container, "div", { class: "panel" });
      const title = add(panel, "h4", { title: run.full }, run.name);
      add(title, "span", { class: "quiet" });
      const body = add(panel, "div");
      add(body, "svg", { role: "img", tabindex: 0, "aria-label": `${container.dataset.label} of ${run.full}` });
      if (run.remark) add(panel, "p", { class: "quiet" }, run.remark);
    }
  }
  shown.forEach((run, i) => {
    const last = lastIndex(run);
    const panel = container.children[i];
    const layer = run.layer ? ` layer ${run.layer},` : ""; // of points
    const text = layer + (last < 0 ? " not yet measured" : ` epoch ${run.epochs[last]}`);
    panel.querySelector("h4 span").textContent = container.id === "training" ? "" : text;
    plot(panel.querySelector("svg"), run, last);
  });
}

function fillTable() {
  const quantity = byId("quantity").value;
  byId("rows-quantity").textContent = byId("quantity").selectedOptions[0].text;
  const body = byId("rows").tBodies[0];
  const [low, high] = domain(quantity);
  body.replaceChildren();
  for (const run of visibleRuns(data.information)) {
    const last = lastIndex(run);
    if (last < 0) continue;
    for (const [index, layer] of visibleLayers()) {
      const curve = run.curves[quantity]?.[index];
      if (!curve) continue;
      const row = add(body, "tr");
      add(row, "td", { title: run.full }, run.name);
      add(row, "td", { "data-value": run.epochs[last] }, String(run.epochs[last]));
      add(row, "td", { class: "name" }, layer.full);
      const [lower, upper] = endsOf(curve, last);
      for (const value of [curve.v[last], lower, upper]) {
        add(row, "td", { class: "number", "data-value": value ?? "–" }, number(value));
      }
      const cell = add(row, "td", { "data-value": lower === null ? "–" : upper - lower });
      if (lower !== null) {
        const position = clamped(scale([low, high], [0, 120]), [low, high]);
        const svg = add(cell, "svg", { width: 120, height: 12, "aria-hidden": "true" });
        add(svg, "path", { class: "limit", d: "M0 6H120" });
        const group = colored(svg, "g", layer);
        const end = Math.max(position(upper), position(lower) + 1);
        add(group, "path", { class: "bar", d: `M${position(lower)} 6H${end}` });
      }
      add(row, "td", { class: "note" }, note(curve, last));
    }
  }
  keepSorted(byId("rows"));
}

function plotAll() {
  if (slider) {
    byId("epoch-text").textContent = epochs[slider.value];
    slider.setAttribute("aria-valuetext", `epoch ${epochs[slider.value]}`);
  }
  const layers = visibleLayers();
  if (data.planes.length) {
    const pair = data.planes[byId("plane").value];
    const options = { layers, domain };
    plotPanels(byId("planes"), withCurves(pair), (svg, run, last) => plotPlane(svg, run, pair, last, options));
    for (const sentence of byId("plane-key").children) {
      sentence.hidden = !byId("planes").querySelector(sentence.dataset.part);
    }
  }
  if (data.information.length) {
    const options = { layers, domain, epochs: extent(data.information.flatMap((run) => run.epochs)) };
    const plotQuantity = (container, name) =>
      plotPanels(container, withCurves([name]), (svg, run, last) => plotCurves(svg, run, name, last, options));
    plotQuantity(byId("curves"), byId("quantity").value);
    if (data.measures.length) plotQuantity(byId("measures"), byId("measure").value);
    fillTable();
  }
  plotAllPoints();
  if (data.training.length) {
    const epochsOfAll = extent(data.training.flatMap((run) => run.epochs));
    const options = { layers: [...data.splits.entries()], domain, epochs: epochsOfAll };
    const quantity = byId("training-quantity").value;
    plotPanels(byId("training"), data.training, (svg, run) => plotCurves(svg, run, quantity, -1, options));
  }
}

function plotAllPoints() {
  if (!data.points.length) return;
  plotPanels(byId("points"), data.points, (svg, run, last) => plotPoints(svg, run, last, data.classes, state.view));
}

function goTo(index) {
  slider.value = index;
  plotAll();
}

function checkbox(parent, name, isChecked, change, color) {
  const label = add(parent, "label", { title: name.full });
  const input = add(label, "input", { type: "checkbox", "aria-label": name.full });
  input.checked = isChecked;
  if (color) colored(label, "span", color, { class: "swatch" });
  label.append(name.name);
  input.addEventListener("change", () => (change(input.checked), plotAll()));
  return input;
}

const toggle = (hidden, key) => (isShown) => (isShown ? hidden.delete(key) : hidden.add(key));

function makeControls() {
  const layers = byId("layers");
  if (layers) {
    const boxes = data.layers.map((layer, index) =>
      checkbox(layers, layer, true, toggle(state.hiddenLayers, index), layer),
    );
    if (boxes.length > 1) {
      const button = add(layers, "button", { type: "button" }, "all or none");
      button.addEventListener("click", () => {
        const show = state.hiddenLayers.size > 0;
        boxes.forEach((box, index) => ((box.checked = show), toggle(state.hiddenLayers, index)(show)));
        plotAll();
      });
    }
  }
  const runs = byId("runs");
  for (const full of runs ? runNames : []) {
    const { name } = [...data.information, ...data.training, ...data.points].find((run) => run.full === full);
    checkbox(runs, { name, full }, !state.hiddenRuns.has(full), toggle(state.hiddenRuns, full));
  }
  for (const split of data.splits) {
    colored(byId("splits"), "span", split, { class: "swatch" });
    byId("splits").append(split.name);
  }
  for (const entry of data.classes) {
    const key = add(byId("classes"), "span", { class: "key" });
    colored(key, "span", entry, { class: "swatch" });
    key.append(entry.name);
  }
  document.querySelectorAll("#charts select").forEach((select) => select.addEventListener("change", plotAll));
  if (!slider) return;
  slider.max = epochs.length - 1;
  slider.value = epochs.length - 1;
  slider.addEventListener("input", plotAll);
  let timer = 0;
  const play = byId("play");
  play.disabled = epochs.length < 2;
  const stop = () => (clearInterval(timer), (timer = 0), (play.textContent = "Play"));
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (+slider.value === epochs.length - 1) goTo(0);
    play.textContent = "Stop";
    timer = setInterval(() => (+slider.value < epochs.length - 1 ? goTo(+slider.value + 1) : stop()), 250);
  });
}

// The mark nearest to the pointer, at most 24 pixels away.
function nearest(svg, event) {
  const box = svg.getBoundingClientRect();
  const factor = svg.viewBox.baseVal.width / box.width;
  const [x, y] = [(event.clientX - box.left) * factor, (event.clientY - box.top) * factor];
  const marks = (svg.marks ?? []).map((mark) => ({ mark, distance: Math.hypot(mark.x - x, mark.y - y) }));
  const best = marks.reduce((a, b) => (b.distance < a.distance ? b : a), { distance: 24 });
  return best.mark;
}

function listen() {
  const turn = (right, up) => {
    state.view = { turn: state.view.turn + right, tilt: Math.max(-1.5, Math.min(1.5, state.view.tilt + up)) };
    plotAllPoints();
  };
  document.addEventListener("pointermove", (event) => {
    const svg = event.target.closest?.(".panel svg");
    if (svg?.closest("#points") && event.buttons) return turn(event.movementX / 100, event.movementY / 100);
    const mark = svg && nearest(svg, event);
    hint.hidden = !mark;
    if (!mark) return;
    hint.replaceChildren();
    mark.text.filter(Boolean).forEach((text) => add(hint, "div", {}, text));
    hint.style.left = `${Math.max(0, Math.min(event.clientX + 14, innerWidth - hint.offsetWidth - 8))}px`;
    hint.style.top = `${Math.max(0, Math.min(event.clientY + 14, innerHeight - hint.offsetHeight - 8))}px`;
  });
  document.addEventListener("click", (event) => {
    const svg = event.target.closest?.("#curves svg, #measures svg");
    const mark = svg && nearest(svg, event);
    if (mark) goTo(epochs.indexOf(mark.epoch));
  });
  // Arrows turn the points of a layer, and change the epoch of the other charts.
  document.addEventListener("keydown", (event) => {
    const svg = event.target.closest?.(".panel svg");
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!svg || !move) return;
    event.preventDefault();
    if (svg.closest("#points")) turn(move[0] * 0.15, move[1] * 0.15);
    else if (slider && move[0]) goTo(+slider.value + move[0]);
  });
  let width = 0;
  new ResizeObserver(() => innerWidth !== width && ((width = innerWidth), plotAll())).observe(document.body);
}

makeControls();
listen();
plotAll();
document.querySelectorAll("table.sortable").forEach(makeSortable);
