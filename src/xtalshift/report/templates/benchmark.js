const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const ids = Object.keys(figures);
const fit = () => ids.forEach((id) => {
  const div = document.getElementById(id);
  if (div.offsetParent) Plotly.Plots.resize(div);
});

// one number of target labels at a time; without a script, and on paper, all stand below each other
let chosen = "0";
const showBoard = (board) => {
  chosen = board;
  all("[data-board]").forEach((part) => { part.hidden = part.dataset.board !== board; });
  all("[data-to]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.to === board));
  fit();
};
all("[data-to]").forEach((button) => button.addEventListener("click", () => showBoard(button.dataset.to)));
if (all("[data-board]").length) showBoard(chosen);

const boards = document.querySelector(".boards");
if (boards) {
  all("[data-show]").forEach((button) => button.addEventListener("click", () => {
    boards.dataset.view = button.dataset.show;
    all("[data-show]").forEach((other) => other.setAttribute("aria-pressed", other === button));
  }));
  document.getElementById("variants")?.addEventListener("change", (event) => boards.classList.toggle("variants", event.target.checked));
  document.getElementById("only")?.addEventListener("change", (event) => {
    all("[data-place]", boards).forEach((cell) => cell.classList.toggle("off", event.target.value !== "" && cell.dataset.place !== event.target.value));
  });
}

// numbers as numbers, words as words, what is missing last in both directions
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

window.addEventListener("beforeprint", () => {
  all("[data-board]").forEach((part) => { part.hidden = false; });
  fit();
});
window.addEventListener("afterprint", () => (all("[data-board]").length ? showBoard(chosen) : fit()));
