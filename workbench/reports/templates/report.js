// Draws the figures in the theme of the page, which follows the system until the reader chooses one.
"use strict";

const page = JSON.parse(document.getElementById("figures").textContent);
const root = document.documentElement;
const button = document.getElementById("scheme");
const system = matchMedia("(prefers-color-scheme: dark)");
const touch = matchMedia("(pointer: coarse)").matches; // a finger on a figure scrolls the page
let chosen = null;

function scheme() {
  return chosen ?? (system.matches ? "dark" : "light");
}

async function draw(name) {
  root.dataset.scheme = name;
  button.textContent = name === "dark" ? "Light theme" : "Dark theme";
  await Promise.all(page.figures.map((figure, i) => {
    const { data, layout } = structuredClone(figure[name] ?? figure.light);
    Object.assign(layout, { template: page.templates[name], uirevision: "reader", autosize: true });
    if (touch) layout.dragmode = false;
    return Plotly.react(`figure-${i + 1}`, data, layout, { ...page.config, displayModeBar: touch ? false : "hover" });
  }));
  root.dataset.drawn = name;
}

// Paper is white, and narrower than most windows.
async function print(on) {
  root.classList.toggle("printing", on);
  await draw(on ? "light" : scheme());
  document.querySelectorAll(".plot").forEach((plot) => Plotly.Plots.resize(plot));
}

button.addEventListener("click", () => {
  chosen = scheme() === "dark" ? "light" : "dark";
  draw(chosen);
});
system.addEventListener("change", () => draw(scheme()));
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));

draw(scheme());
