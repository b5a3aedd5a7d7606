// The frame of all pages: the word, the tabs, the keys, and which page is shown. The address says where one is: #/WORD/PAGE.

import { ask, attempt, get, h, icon, post, toast } from "./ui.js";
import { sendAll } from "./pending.js";
import * as record from "./record.js";
import * as data from "./data.js";
import * as train from "./train.js";
import * as result from "./result.js";
import * as live from "./try.js";
import * as inbox from "./inbox.js";
import * as ship from "./ship.js";

const PAGES = [
  ["record", "Record", record], ["data", "Data", data], ["train", "Train", train], ["result", "Result", result],
  ["try", "Try", live], ["inbox", "Inbox", inbox], ["ship", "Ship", ship],
];
let project = null;
let leave = null; // ends what the page that is shown has begun
let keys = {};

function where() {
  const [word, page, ...rest] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  return { word: word || "", page: page || "record", rest };
}

export function go(word, page, ...rest) {
  location.hash = "#/" + [word, page, ...rest].map(encodeURIComponent).join("/");
}

async function show() {
  leave?.();
  leave = null;
  keys = {};
  const page = document.getElementById("page");
  try {
    project = await get("/api/project");
  } catch (error) {
    page.replaceChildren(h("div", { className: "note bad" }, error.message), h("button", { onclick: show }, "Try again"));
    return;
  }
  const at = where();
  const word = project.words.find((one) => one.name === at.word);
  if (!word && project.words.length) return go(project.words[0].name, PAGES.some(([name]) => name === at.page) ? at.page : "record");
  const [name, title, module] = PAGES.find(([one]) => one === at.page) || PAGES[0];
  drawTop(word);
  drawTabs(word, name);
  document.title = word ? `${title}: ${word.phrases[0]} · speechtl studio` : "speechtl studio";
  page.replaceChildren();
  if (!word) return welcome(page);
  const shown = h("div");
  const loading = h("p", { className: "loading" }, "Loading…");
  page.append(shown, loading);
  const context = { word, project, rest: at.rest, keys: (map) => { keys = map; }, refresh: show, current: () => shown.isConnected };
  leave = (await attempt(() => module.show(shown, context))) || null;
  loading.remove();
  if (!shown.isConnected) leave?.();
}

function drawTop(word) {
  const chooser = h("select", { "aria-label": "Wake word", onchange: () => (chooser.value ? go(chooser.value, where().page) : add()) },
    project.words.map((one) => h("option", { value: one.name, selected: one === word }, one.phrases[0])));
  const mark = h("img", { className: "mark", src: "/static/icon.svg", alt: "" });
  const plus = h("button", { className: "plain", onclick: add, title: "New word", "aria-label": "New word" }, icon("plus"));
  document.getElementById("top").replaceChildren(mark, ...(project.words.length ? [chooser, plus] : [h("strong", {}, "speechtl studio")]));
}

function drawTabs(word, current) {
  const tabs = PAGES.map(([name, title], index) => {
    const link = h("a", { href: `#/${encodeURIComponent(word?.name || "")}/${name}` }, icon(name), h("span", {}, title));
    if (name === current) link.setAttribute("aria-current", "page");
    if (name === "train" && project.training) link.append(h("i", { className: "dot", title: "A training is running" }));
    link.append(h("kbd", {}, String(index + 1)));
    return link;
  });
  document.getElementById("tabs").replaceChildren(...(word ? tabs : []));
}

async function add() {
  const phrase = await ask("A new wake word", "What is spoken", "Create", "hey marvin");
  if (!phrase) return drawTop(project.words.find((one) => one.name === where().word));
  const made = await attempt(() => post("/api/words", { phrase }));
  if (made) go(made.name, "record");
}

function welcome(page) {
  const input = h("input", { type: "text", id: "phrase", maxLength: 80, placeholder: "hey marvin", autocomplete: "off" });
  const begin = async (event) => {
    event.preventDefault();
    if (!input.value.trim()) return input.focus();
    const made = await attempt(() => post("/api/words", { phrase: input.value }));
    if (made) go(made.name, "record");
  };
  page.append(h("div", { className: "card stage" },
    h("h1", {}, "Your own wake word"),
    h("p", { className: "soft" }, "Record it, train it, try it, and take it to your device. Everything stays on this computer."),
    h("form", { onsubmit: begin },
      h("label", { className: "field" }, h("span", {}, "What do you want to say?"), input),
      h("button", { className: "primary" }, "Begin")),
    h("p", { className: "soft" }, h("small", {}, "Three or more syllables that are rare in talk work best."))));
  input.focus();
}

window.addEventListener("hashchange", show);
window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input[type=text], select, textarea, dialog")) return;
  const number = Number(event.key);
  if (number >= 1 && number <= PAGES.length && project?.words.length) return go(where().word, PAGES[number - 1][0]);
  const key = event.key === " " ? "space" : event.key.toLowerCase();
  if (key === "space" && event.target.closest("summary, input, a")) return;
  if (keys[key]) {
    event.preventDefault();
    if (!event.repeat) keys[key]();
  }
});

async function deliverWaiting() {
  const sent = await sendAll();
  if (sent) {
    toast(`${sent === 1 ? "A recording that was" : `${sent} recordings that were`} waiting in this browser ${sent === 1 ? "is" : "are"} saved now.`);
    window.dispatchEvent(new Event("delivered"));
  }
}
setInterval(deliverWaiting, 5000);
deliverWaiting();
show();
