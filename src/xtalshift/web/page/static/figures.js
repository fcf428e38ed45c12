// The figures of a result: drawn in the colours and the numbers of the reader, saved in those of paper.
"use strict";
const home = document.querySelector("[data-figures]");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const INK = "#2b2f33";
// colours that are too dark on dark paper
const BRIGHTER = {"#0072b2": "#56b4e9", "#d55e00": "#ff9e5e", "#8e2a7f": "#d583c7", "#f1f3f5": "#252c33", "#adb5bd": "#6d7883", "rgba(0,114,178,0.45)": "rgba(86,180,233,0.5)", "rgba(213,94,0,0.55)": "rgba(255,158,94,0.6)", [INK]: "#e7eaed"};
const brighter = (value) => {
  if (Array.isArray(value)) return value.map(brighter);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, brighter(one)]));
  return BRIGHTER[value] ?? value;
};
const figures = new Map();

// texts of the package within a figure: numbers in the way of the reader
const localised = (figure) => {
  const {data, layout} = structuredClone(figure);
  layout.separators = marks.decimal + marks.thousands;
  for (const note of layout.annotations ?? []) note.text = local(note.text);
  for (const trace of data) {
    if (trace.customdata) trace.customdata = trace.customdata.map((one) => typeof one === "string" ? local(one) : one);
  }
  return {data, layout};
};

const coloured = ({data, layout}) => {
  if (!dark.matches) return {data, layout};
  const bright = brighter(layout), line = style("--line"), edge = style("--edge");
  Object.assign(bright, {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)"});
  for (const [name, axis] of Object.entries(bright)) if (/^[xy]axis/.test(name)) Object.assign(axis, {gridcolor: line, linecolor: edge, tickcolor: edge});
  return {data: data.map((trace) => ({...trace, ...brighter({marker: trace.marker, line: trace.line, error_x: trace.error_x, error_y: trace.error_y})})), layout: bright};
};

const draw = () => {
  for (const [id, figure] of figures) {
    const {data, layout} = coloured(localised(figure));
    Plotly.react(id, data, layout, {displayModeBar: false, responsive: true});
  }
};

const save = (button) => {
  const {data, layout} = localised(figures.get(button.dataset.of));
  const place = document.getElementById(button.dataset.of);
  const size = {width: Math.max(480, place.clientWidth), height: layout.height};
  const name = `${home.dataset.name}-${button.dataset.of.replace(/^figure-/, "")}`;
  Plotly.downloadImage({data, layout: {...layout, ...size}}, {...size, format: button.dataset.save, filename: name, scale: button.dataset.save === "png" ? 3 : 1});
};

fetch(home.dataset.figures).then((answer) => answer.json()).then((digest) => {
  for (const one of digest.figures) if (document.getElementById(one.id)) figures.set(one.id, one);
  draw();
  home.dataset.drawn = "yes";
});
dark.addEventListener("change", draw);
all("[data-save]").forEach((button) => button.addEventListener("click", () => save(button)));
