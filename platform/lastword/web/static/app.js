// What the pages do beyond what the server says: looking again, panels, shortcuts, copying.
// Every page works without it.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const kept = (name) => localStorage.getItem(`lastword.${name}`);
const keep = (name, value) => localStorage.setItem(`lastword.${name}`, value);

// How long ago, in words; absolute times stay in the title.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
function ago(seconds) {
  const size = Math.abs(seconds);
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]])
    if (size >= length) return words.format(Math.round(seconds / length), unit);
  return words.format(Math.round(seconds), "second");
}
function lasted(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}
function tellTime() {
  for (const time of $$("time")) {
    const moment = Date.parse(time.dateTime);
    const title = `${local.format(moment)} (${time.dateTime})`;
    if (time.title !== title) time.title = title;
    if (!("relative" in time.dataset)) continue;
    const text = ago((moment - Date.now()) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
  for (const span of $$("[data-since]"))
    span.textContent = lasted((Date.now() - Date.parse(span.dataset.since)) / 1000);
}

// Looking again: at a pace of one's own, not while paused, not while nobody looks.
let paused = false;
let last = Date.now();
const look = () => {
  last = Date.now();
  for (const element of $$("[data-poll]")) htmx.trigger(element, "poll");
};
// What streams its news need not be asked so often; who gets no stream is asked as ever.
let news = null;
let streams = false;
function listen() {
  const from = $("[data-stream]")?.dataset.stream;
  if (!from || news || paused || document.hidden) return;
  news = new EventSource(from);
  news.onopen = () => (streams = true);
  news.onerror = () => (streams = false);
  news.addEventListener("changed", look);
  news.addEventListener("over", hush);
}
function hush() {
  news?.close();
  news = null;
  streams = false;
}
const pace = () => Number(kept("interval") || 5) * (streams ? 6000 : 1000);
setInterval(() => {
  tellTime();
  if (!paused && !document.hidden && Date.now() - last >= pace()) look();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hush();
  else if (!paused) {
    look();
    listen();
  }
});

// Only changes are said aloud.
const states = (root) => new Map($$("[data-state]", root).map((e) => [e.id || "run", e.dataset.state]));
let before = new Map();
document.addEventListener("htmx:before:swap", () => {
  before = states(document);
});
document.addEventListener("htmx:after:swap", () => {
  tellTime();
  openPanel();
  const changes = new Map();
  for (const [id, state] of states(document))
    if (before.has(id) && before.get(id) !== state) changes.set(state, (changes.get(state) || 0) + 1);
  if (changes.size)
    $("#announcer").textContent = [...changes]
      .map(([state, n]) => `${n} ${n === 1 ? "run" : "runs"} became ${state.replace("likely_", "").replaceAll("_", " ")}`)
      .join(", ");
});

// The panel over the page: a place of its own in the history, and focus comes back.
let opener = null;
function openPanel() {
  const panel = $("[data-slide-over]");
  if (!panel || panel.matches(":modal")) return;
  // Not close(): its event would come when the panel is open again.
  panel.removeAttribute("open");
  panel.showModal();
  const url = new URL(location.href);
  if (url.pathname === "/admin/audit" && url.searchParams.get("event") !== panel.dataset.slideOver) {
    url.searchParams.set("event", panel.dataset.slideOver);
    history.pushState({ panel: true }, "", url);
  }
  panel.addEventListener("close", () => {
    const id = panel.dataset.slideOver;
    panel.remove();
    const here = new URL(location.href);
    if (here.searchParams.has("event")) {
      here.searchParams.delete("event");
      history.replaceState({}, "", here);
    }
    (opener?.isConnected ? opener : $(`[data-event="${CSS.escape(id)}"]`))?.focus();
  });
}
addEventListener("popstate", () => {
  const wanted = new URL(location.href).searchParams.get("event");
  const panel = $("[data-slide-over]");
  if (panel && wanted !== panel.dataset.slideOver) panel.close();
  else if (!panel && wanted) location.reload();
});

document.addEventListener("click", (event) => {
  const target = event.target;
  const link = target.closest("[data-event]");
  if (link) opener = link;
  const panel = $("dialog:modal");
  if (target === panel || target.closest("[data-close]")) {
    if (panel) {
      event.preventDefault();
      panel.close();
    }
    return;
  }
  if (target.closest("[data-dismiss]")) target.closest("[data-toast]").remove();
  if (target.closest("[data-refresh]")) look();
  if (target.closest("[data-help]")) $("#keys").showModal();
  const pause = target.closest("[data-pause]");
  if (pause) {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    $("span", pause).textContent = paused ? "Go on" : "Pause";
    if (paused) hush();
    else {
      look();
      listen();
    }
  }
  const copy = target.closest("[data-copy-link], [data-copy-from]");
  if (copy) copied(copy);
});
async function copied(button) {
  const from = button.dataset.copyFrom;
  const text = from
    ? JSON.stringify(await (await fetch(from)).json(), null, 2)
    : location.origin + location.pathname;
  await navigator.clipboard.writeText(text);
  $("#announcer").textContent = "Copied";
  button.dataset.done = "";
  setTimeout(() => delete button.dataset.done, 2000);
}

// What exceptions said is fetched when somebody asks for it.
$("#diagnostics")?.addEventListener("toggle", (event) => {
  if (event.target.open) htmx.trigger($("#diagnostics-body"), "disclose");
});

// Filters without those that are empty, so that the URL says what is on and no more.
for (const form of $$("form[data-filter]"))
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });

// One key each, and off for whoever dictates.
const rows = () => $$("[data-row]");
function step(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  all[Math.min(all.length - 1, Math.max(0, at + by))]?.focus();
}
const keys = {
  "/": () => {
    const filters = $("details.filters");
    if (!filters) return;
    filters.open = true;
    $("select, input:not([type=hidden])", filters).focus();
  },
  "?": () => $("#keys").showModal(),
  r: look,
  g: () => location.assign("/admin/operations"),
  j: () => step(1),
  k: () => step(-1),
  o: () => document.activeElement.matches("[data-row]") && document.activeElement.click(),
};
const wanted = $("[data-keys]");
wanted.checked = kept("keys") !== "off";
wanted.addEventListener("change", () => keep("keys", wanted.checked ? "on" : "off"));
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (!wanted.checked || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if ($("dialog:modal")) return;
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// What somebody chose stays chosen, in this browser.
const choice = $("[data-theme-choice]");
choice.value = kept("theme") || "";
choice.addEventListener("change", () => {
  keep("theme", choice.value);
  if (choice.value) document.documentElement.dataset.theme = choice.value;
  else delete document.documentElement.dataset.theme;
});
for (const select of $$("[data-interval]")) {
  select.value = kept("interval") || "5";
  select.addEventListener("change", () => keep("interval", select.value));
}
for (const controls of $$("[data-live-controls]")) controls.hidden = false;
$("[data-zone]").textContent = `UTC; whole, and in ${local.resolvedOptions().timeZone}, when pointed at`;
if (new URL(location.href).searchParams.has("notice")) {
  const url = new URL(location.href);
  for (const name of ["notice", "run"]) url.searchParams.delete(name);
  history.replaceState({}, "", url);
}
tellTime();
openPanel();
listen();
