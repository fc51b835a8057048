// Draws the chosen view of each chart, once its section is open: a closed one has no width to fit.
// Plotly's button that sends a chart to its maker's server is left out: a page that needs no network offers none.
"use strict";
for (const section of document.querySelectorAll("details.chart")) {
  const views = JSON.parse(section.querySelector("script").textContent);
  const choice = section.querySelector("select");
  const plot = section.querySelector("div");
  const draw = () => {
    const { data, layout } = views[choice.value];
    Plotly.react(plot, data, layout, { responsive: true, displaylogo: false, showSendToCloud: false });
  };
  choice.addEventListener("change", draw);
  section.addEventListener("toggle", () => section.open && draw());
  if (section.open) draw();
}
