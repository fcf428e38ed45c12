// The figures of a result: drawn in the colours and the numbers of the reader, saved in those of paper.
"use strict";
const home = document.querySelector("[data-figures]");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const INK = "#2b2f33";
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
  const ink = style("--ink"), line = style("--line");
  Object.assign(layout, {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)"});
  layout.font.color = ink;
  for (const [name, axis] of Object.entries(layout)) if (/^[xy]axis/.test(name)) Object.assign(axis, {gridcolor: line, linecolor: style("--edge"), tickcolor: style("--edge")});
  for (const one of [...(layout.shapes ?? []), ...(layout.annotations ?? [])]) {
    if (one.line?.color === INK) one.line.color = ink;
    if (one.font?.color === INK) one.font.color = ink;
  }
  for (const trace of data) {
    if (trace.line?.color === INK) trace.line.color = ink;
    if (trace.error_x?.color === INK) trace.error_x.color = ink;
    if (trace.marker?.line?.color === INK) trace.marker.line.color = ink;
  }
  return {data, layout};
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
