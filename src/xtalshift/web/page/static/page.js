// What makes the screens smoother. Without it forms still send and links still lead on.
"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const marks = document.documentElement.dataset;
const way = marks.decimal === "," ? "de-DE" : "en-US";

// a text of the package, in which numbers are written 1,234.5, in the way of the reader; no formulas, names, versions or quotes
const NUMBER = /(?<![\w.,'/-])([-−+±<>~]?)(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(e[-+]?\d+)?(?![\w'([]|[.,]\d)/g;
const local = (text) => marks.decimal === "." ? text : text.replace(NUMBER, (_, sign, digits, rest = "", power = "") =>
  sign + digits.replaceAll(",", marks.thousands) + rest.replace(".", marks.decimal) + power);

// moments in the time of the reader
const dated = (within) => all("time[datetime]", within).forEach((one) => {
  const moment = new Date(one.dateTime);
  if (!isNaN(moment)) one.textContent = new Intl.DateTimeFormat(way, {dateStyle: "medium", timeStyle: "short"}).format(moment);
});

// a table that is dropped is chosen; one that is too large is not sent
const drop = (form) => {
  const input = form.querySelector("input[type=file]"), wrong = form.querySelector("[data-wrong]");
  const most = Number(form.dataset.maxBytes);
  const say = (text) => { wrong.textContent = text; wrong.hidden = !text; };
  const fits = () => {
    const file = input.files[0];
    if (!file) { say("No file is chosen yet."); return false; }
    if (file.size > most) { say(`${file.name} has ${Math.ceil(file.size / 1e6)} MB; the server takes at most ${Math.floor(most / 1e6)} MB. Send it in parts.`); return false; }
    if (!file.size) { say(`${file.name} is empty; choose a file with a header and rows.`); return false; }
    say("");
    return true;
  };
  const send = () => { if (fits()) form.requestSubmit(); };
  for (const name of ["dragenter", "dragover"]) form.addEventListener(name, (event) => { event.preventDefault(); form.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) form.addEventListener(name, () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length > 1) { say("One table at a time, please."); return; }
    if (event.dataTransfer.files.length) { input.files = event.dataTransfer.files; send(); }
  });
  input.addEventListener("change", send);
  form.addEventListener("submit", (event) => {
    if (!fits()) { event.preventDefault(); input.focus(); return; }
    form.setAttribute("aria-busy", "true");
    form.querySelector("button").textContent = "Sending …";
  });
};

document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
// back in the history: no form is still sending
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// what begins work begins it once
all("form[data-once]").forEach((form) => form.addEventListener("submit", (event) => {
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  event.submitter?.setAttribute("aria-busy", "true");
}));
all("[data-drop]").forEach(drop);
dated(document);
document.addEventListener("htmx:afterSwap", (event) => dated(event.target.parentElement ?? document));
// a form that is refused leads to its message; the screen after one that was taken inherits this place
const problem = document.getElementById("problem");
if (problem) problem.focus();
else if (location.hash === "#problem") history.replaceState(null, "", location.pathname + location.search);
