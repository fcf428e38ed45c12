// The progress of a job, from the server's events. When it ends, the same address shows its result.
"use strict";
const place = document.querySelector("[data-watch]");
const part = (name) => place.querySelector(`[data-${name}]`);
const tasks = new Map();
const MOST_LINES = 300;

const say = (text, kind = "") => {
  const line = document.createElement("p");
  if (text.startsWith("  ")) line.className = "inner";
  if (kind) line.className = kind;
  line.textContent = local(text.trim());
  const log = part("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(line);
  while (log.children.length > MOST_LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
};

const lasting = (seconds) => {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return local(`${(seconds / 3600).toFixed(1)} h`);
};

const begin = ({task, name, total}) => {
  const row = document.createElement("div"), label = document.createElement("label"), bar = document.createElement("progress"), note = document.createElement("span");
  row.className = "task";
  bar.id = `task-${task}`;
  label.htmlFor = bar.id;
  label.textContent = name;
  note.className = "hint";
  if (total) { bar.max = total; bar.value = 0; note.textContent = `0 of ${total}`; }
  row.append(label, bar, note);
  part("tasks").append(row);
  tasks.set(task, {row, bar, note, name, total, began: Date.now()});
};

const advance = ({task, done, info}) => {
  const one = tasks.get(task);
  if (!one) return;
  const facts = Object.entries(info ?? {}).map(([name, value]) => typeof value === "number" ? `${name} ${local(value.toPrecision(3))}` : value);
  if (one.total) {
    one.bar.value = done;
    facts.unshift(`${done} of ${one.total}`);
    const seconds = (Date.now() - one.began) / 1000;
    if (done && done < one.total && seconds > 5) facts.push(`about ${lasting(seconds / done * (one.total - done))} left`);
  } else facts.unshift(String(done));
  one.note.textContent = facts.join(" · ");
};

const end = ({task}) => {
  const one = tasks.get(task);
  if (!one) return;
  one.row.remove();
  tasks.delete(task);
  say(one.name, "finished");
};

const since = part("since");
let started = since.dataset.started;
setInterval(() => {
  if (started) since.textContent = `for ${lasting((Date.now() - new Date(started)) / 1000)}`;
}, 1000);

let ended = false;
const show = (job) => {
  const state = part("state").firstElementChild;
  state.className = `state ${job.state}`;
  state.textContent = job.state;
  started = job.started;
  if (!["waiting", "running"].includes(job.state)) {
    ended = true;
    location.reload();
  }
};

// the server tells all again from the begin on when the connection is new; behind the last event, if it was lost
const listen = () => {
  const source = new EventSource(place.dataset.events);
  const on = (name, use) => source.addEventListener(name, (event) => { part("lost").hidden = true; use(JSON.parse(event.data)); });
  on("say", ({text}) => say(text));
  on("begin", begin);
  on("advance", advance);
  on("end", end);
  on("state", (job) => { if (job.state !== "running" && job.state !== "waiting") source.close(); show(job); });
  source.onopen = () => { part("lost").hidden = true; };
  source.onerror = () => {
    if (ended) return;
    part("lost").hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
};
listen();
