const all = (selector) => [...document.querySelectorAll(selector)];
const fit = () => Object.keys(figures).forEach((id) => {
  const div = document.getElementById(id);
  if (div.offsetParent) Plotly.Plots.resize(div);
});

// the intervals of one method at a time; without a script, and on paper, all stand below each other
let chosen = document.querySelector("[data-to][aria-pressed=true]")?.dataset.to;
const showMethod = (number) => {
  chosen = number;
  all("[data-trust]").forEach((part) => { part.hidden = part.dataset.trust !== number; });
  all("[data-to]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.to === number));
  fit();
};
all("[data-to]").forEach((button) => button.addEventListener("click", () => showMethod(button.dataset.to)));
if (chosen) showMethod(chosen);

window.addEventListener("beforeprint", () => {
  all("[data-trust]").forEach((part) => { part.hidden = false; });
  fit();
});
window.addEventListener("afterprint", () => (chosen ? showMethod(chosen) : fit()));
