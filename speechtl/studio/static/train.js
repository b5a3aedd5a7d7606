// Training: a few choices, then progress as the training itself tells it.

import { address, attempt, get, h, icon, post, toast } from "./ui.js";

const EFFORTS = { quick: ["Quick", "some minutes"], normal: ["Normal", "a quarter of an hour or more"], thorough: ["Thorough", "twice as long"] };
const FEW = 4; // speakers: with fewer, synthesised voices stand in for the people that are missing
const RATES = [[0.5, "one in two days"], [1, "one a day"], [2.4, "one in ten hours"], [7.2, "one in three hours"], [12, "one in two hours"], [24, "one an hour"]];
const STATES = { running: ["running", "fair"], done: ["done", "good"], stopped: ["stopped", "fair"], refused: ["not better", "fair"], failed: ["failed", "bad"] };

export async function show(page, { word, project, keys, current, refresh }) {
  const base = (...rest) => address(word.name, "trainings", ...rest);
  const data = await get(address(word.name, "data"));
  if (!current()) return undefined;
  const chosen = { effort: "quick", false_accepts_per_day: 12, seed: 0, synthesise: project.speaks && data.word.length < FEW };
  let timer = 0, last = "", logOpen = false, stopping = 0;
  const settings = h("section", { className: "card" });
  const running = h("section", { className: "card", hidden: true });
  const listed = h("section", { className: "card" });
  page.append(h("div", { className: "head" }, h("h1", {}, "Train"), h("p", {}, "Runs on this computer, also when this page is closed.")), running, settings, listed);

  async function load() {
    clearTimeout(timer);
    const state = await get(base());
    if (!current()) return;
    const active = state.trainings.find((one) => one.state === "running");
    const elsewhere = state.running && !active ? state.running.word : "";
    running.hidden = !active;
    settings.hidden = Boolean(active);
    if (active) await drawRunning(active); else drawSettings(elsewhere);
    drawList(state.trainings.filter((one) => one !== active));
    if (last === "running" && !active) { stopping = 0; refresh(); return; }
    last = active ? "running" : "idle";
    timer = setTimeout(() => load().catch(() => { timer = setTimeout(() => attempt(load), 3000); }), active ? 1500 : 6000);
  }

  function drawSettings(elsewhere) {
    if (settings.childElementCount && !elsewhere) return;
    const select = h("select", { onchange: () => { chosen.false_accepts_per_day = Number(select.value); } },
      RATES.map(([value, text]) => h("option", { value, selected: value === chosen.false_accepts_per_day }, text)));
    const seed = h("input", { type: "text", inputMode: "numeric", value: String(chosen.seed), onchange: () => { chosen.seed = Number(seed.value) || 0; } });
    const efforts = h("div", { className: "segments choices" });
    const drawEfforts = () => efforts.replaceChildren(...Object.entries(EFFORTS).map(([name, [title, time]]) =>
      h("button", { "aria-pressed": String(name === chosen.effort), onclick: () => { chosen.effort = name; drawEfforts(); } }, title, h("small", {}, time))));
    drawEfforts();
    settings.replaceChildren(
      elsewhere ? h("div", { className: "note" }, `${elsewhere} is being trained; one training runs at a time.`) : "",
      h("div", { className: "field" }, efforts),
      h("label", { className: "field" }, h("span", {}, "It may fire by mistake"), select),
      project.speaks && h("label", { className: "check" }, h("input", { type: "checkbox", checked: chosen.synthesise, onchange: (event) => { chosen.synthesise = event.target.checked; } }), "Also speak the word with synthesised voices: strangers are found more often"),
      h("details", {}, h("summary", {}, "More"), h("label", { className: "field" }, h("span", {}, "Random seed"), seed),
        h("small", {}, "All other settings: the recipe of the training, in its folder, for speechtl train.")),
      h("button", { className: "primary", disabled: Boolean(elsewhere), onclick: start }, icon("train"), "Train", h("kbd", {}, "T")));
  }

  async function start() {
    if (running.hidden === false) return;
    const begun = await attempt(() => post(base(), chosen));
    if (begun) toast(`Training ${begun.run} has begun.`);
    await attempt(load);
  }

  async function drawRunning({ run, progress, step }) {
    const part = progress.total ? (100 * progress.done) / progress.total : 0;
    const words = [progress.stage, progress.total ? `${progress.done} of ${progress.total}` : "", progress.epoch ? `epoch ${progress.epoch} of ${progress.epochs}` : ""];
    const log = logOpen ? (await get(base(run, "log"))).log : "";
    const pre = h("pre", { className: "log", tabIndex: 0 }, log);
    const bar = h("i");
    const focused = running.contains(document.activeElement) ? document.activeElement.tagName : "";
    running.replaceChildren(
      h("h2", {}, `${step}: ${word.phrases[0]}`),
      h("div", { className: progress.total ? "bar" : "bar unknown", role: "progressbar", "aria-valuenow": Math.round(part), "aria-valuemin": 0, "aria-valuemax": 100 }, bar),
      h("div", { className: "ends" }, h("span", {}, words.filter(Boolean).join(" · ")), h("span", {}, progress.left ? `about ${progress.left} left` : "")),
      h("p", {}),
      h("div", { className: "row" }, stopping
        ? [h("button", { className: "danger", onclick: () => attempt(() => post(base(run, "kill"))) }, "Stop at once"), h("small", {}, "Stopping after the current step…")]
        : h("button", { onclick: () => { stopping = Date.now(); attempt(async () => { await post(base(run, "stop")); await load(); }); } }, icon("stop"), "Stop"),
      h("small", { className: "grow" }, stopping ? "" : "It can be resumed later.")),
      h("details", { open: logOpen, ontoggle: (event) => { if (event.target.open !== logOpen) { logOpen = event.target.open; attempt(load); } } }, h("summary", {}, "Log"), pre));
    if (progress.total) bar.style.width = `${part}%`;
    pre.scrollTop = pre.scrollHeight;
    if (focused) running.querySelector(focused)?.focus();
  }

  function drawList(trainings) {
    listed.hidden = !trainings.length;
    if (listed.querySelector("details[open]")) return; // somebody reads a log
    listed.replaceChildren(h("h2", {}, "Trainings"), ...trainings.map((one) => {
      const [text, look] = STATES[one.state];
      const more = h("pre", { className: "log" });
      return h("div", {},
        h("div", { className: "row" },
          h("strong", {}, one.run), h("span", { className: `badge ${look}` }, text),
          h("small", { className: "grow" }, one.settings.effort ? `${one.settings.effort}, ${one.settings.false_accepts_per_day} a day` : ""),
          one.state === "done" && !one.run.startsWith("adapt-") ? h("a", { className: "button", href: `#/${encodeURIComponent(word.name)}/result/${encodeURIComponent(one.run)}` }, "Result") : null,
          one.state === "stopped" ? h("button", { onclick: () => attempt(async () => { await post(base(one.run, "resume")); await load(); }) }, "Resume") : null),
        one.reason ? h("p", { className: one.state === "failed" ? "note bad" : "soft" }, one.reason) : null,
        h("details", { ontoggle: (event) => event.target.open && attempt(async () => { more.textContent = (await get(base(one.run, "log"))).log; }) }, h("summary", {}, h("small", {}, "Log")), more));
    }));
  }

  if (!project.negatives.length && !data.other.length) {
    page.insertBefore(h("div", { className: "note" }, "Nothing is here that is not the word, so the training takes speech that anybody may use, and downloads it once. What sounds in your own rooms helps more: record some minutes of it."), running);
  }
  keys({ t: start });
  await load();
  return () => clearTimeout(timer);
}
