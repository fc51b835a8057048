// Plots the chosen view of each chart when its section is open; a closed section has no width.
// The button that sends a chart to plotly's server is left out, because the page works without a network.
"use strict";
for (const section of document.querySelectorAll("details.chart")) {
  const views = JSON.parse(section.querySelector("script").textContent);
  const choice = section.querySelector("select");
  const plot = section.querySelector("div");
  const plotView = () => {
    const { data, layout } = views[choice.value];
    Plotly.react(plot, data, layout, { responsive: true, displaylogo: false, showSendToCloud: false });
  };
  choice.addEventListener("change", plotView);
  section.addEventListener("toggle", () => section.open && plotView());
  if (section.open) plotView();
}
