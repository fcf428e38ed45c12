const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const figures = JSON.parse(document.getElementById("figures")?.textContent ?? "{}");
for (const [id, figure] of Object.entries(figures)) Plotly.newPlot(id, figure.data, figure.layout, {displayModeBar: false, responsive: true});
const fit = () => Object.keys(figures).forEach((id) => {
  if (document.getElementById(id).offsetParent) Plotly.Plots.resize(id);
});

// one part of each group at a time (a method, a number of labels); without a script, and on paper, all below each other
let chosen = document.querySelector("[data-to][aria-pressed=true]")?.dataset.to;
const show = (number) => {
  chosen = number;
  all("[data-part]").forEach((part) => { part.hidden = part.dataset.part !== number; });
  all("[data-to]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.to === number));
  fit();
};
all("[data-to]").forEach((button) => button.addEventListener("click", () => show(button.dataset.to)));
if (chosen) show(chosen);
window.addEventListener("beforeprint", () => {
  all("[data-part]").forEach((part) => { part.hidden = false; });
  fit();
});
window.addEventListener("afterprint", () => (chosen ? show(chosen) : fit()));

// columns of the leaderboard
const boards = document.querySelector(".boards");
all("[data-show]").forEach((button) => button.addEventListener("click", () => {
  boards.dataset.view = button.dataset.show;
  all("[data-show]").forEach((other) => other.setAttribute("aria-pressed", other === button));
}));
document.getElementById("variants")?.addEventListener("change", (event) => boards.classList.toggle("variants", event.target.checked));
document.getElementById("only")?.addEventListener("change", (event) => {
  all("[data-place]", boards).forEach((cell) => cell.classList.toggle("off", event.target.value !== "" && cell.dataset.place !== event.target.value));
});

// numbers as numbers, words as words, missing values last in both directions
const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
const sortBy = (button) => {
  const table = button.closest("table"), head = button.closest("th"), column = Number(button.dataset.c);
  const down = head.getAttribute("aria-sort") === "ascending";
  all("[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.cells[column].dataset.v;
  const rows = [...table.tBodies[0].rows].sort((one, two) => {
    const a = value(one), b = value(two);
    if (a === "" || b === "") return (a === "") - (b === "");
    return down ? compare(b, a) : compare(a, b);
  });
  table.tBodies[0].append(...rows);
};
all(".sort").forEach((button) => button.addEventListener("click", () => sortBy(button)));

// the explanation of a term opens to the side that has room
all(".term").forEach((term) => ["pointerenter", "focus"].forEach((event) => term.addEventListener(event, () => {
  term.classList.toggle("late", term.getBoundingClientRect().left > window.innerWidth - 340);
})));
