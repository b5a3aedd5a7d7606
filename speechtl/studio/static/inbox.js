// Clips that devices saved, the newest first: one key plays, one key labels, one takes it back.

import { address, attempt, command, counted, get, h, icon, peaksOf, play, post, toast, waveform } from "./ui.js";

const VERDICTS = [["word", "The word", "w", "→"], ["not-word", "Not the word", "n", "←"], ["unsure", "Unsure", "u", "↓"]];
const ARROWS = { arrowright: "word", arrowleft: "not-word", arrowdown: "unsure" };

export async function show(page, { word, keys, current }) {
  const base = (...rest) => address(word.name, "inbox", ...rest);
  const counts = h("p", {});
  const place = h("div");
  page.append(h("div", { className: "head" }, h("h1", {}, "Inbox"), counts), place);
  let clips = [], about = null, done = [], busy = false, button = null;

  async function load() {
    about = await get(base());
    clips = about.clips;
    if (current()) draw();
  }

  function draw() {
    const labelled = about.labelled;
    counts.textContent = `${counted(about.total, "clip")} to hear · ${labelled.word} the word · ${labelled["not-word"]} not · ${labelled.unsure} unsure`;
    place.replaceChildren(clips.length ? card(clips[0]) : nothing(), back());
    if (Object.values(labelled).some(Boolean)) place.append(adapting());
    place.append(devices());
  }

  function card(clip) {
    button = h("button", { className: "primary", onclick: () => play(base(clip.name), button), "aria-label": "Play" }, icon("play"));
    const wave = h("div", { className: "clip" });
    attempt(() => drawWave(clip, wave));
    const when = clip.at ? new Date(clip.at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }) : clip.name;
    return h("section", { className: "card" },
      h("div", { className: "row" }, button, h("div", { className: "grow" }, h("strong", {}, when), h("br"), h("small", {}, clip.score === null ? "" : `score ${clip.score.toFixed(2)}`)),
        h("span", { className: `badge ${clip.near ? "fair" : "good"}` }, clip.near ? "near miss" : "it fired")),
      wave,
      h("div", { className: "verdicts" }, VERDICTS.map(([label, title, key, arrow]) => h("button", { onclick: () => give(label), disabled: busy }, title, h("kbd", {}, `${key.toUpperCase()}  ${arrow}`)))),
      h("p", { className: "soft keys" }, h("small", {}, h("kbd", {}, "Space"), " plays, ", h("kbd", {}, "Z"), " takes the last label back.")));
  }

  async function drawWave(clip, wave) {
    const answer = await fetch(base(clip.name));
    if (!answer.ok) throw new Error("This clip is gone; another window may have labelled it.");
    const samples = new DataView(await answer.arrayBuffer());
    const values = new Float32Array(Math.max((samples.byteLength - 44) >> 1, 0)); // 16-bit WAV, as listen writes it
    for (let index = 0; index < values.length; index++) values[index] = samples.getInt16(44 + 2 * index, true) / 32768;
    wave.replaceChildren(waveform(peaksOf(values, 120)));
  }

  async function give(label) {
    const clip = clips[0];
    if (!clip || busy) return;
    busy = true;
    try {
      await post(base(clip.name), { label, expected: "" });
      about.labelled[label] += 1;
      about.total -= 1;
      done.push([clip, label]);
      clips.shift();
    } catch (error) {
      toast(error.message, { bad: true });
      clips.shift();
    }
    busy = false;
    if (clips.length < 2 && about.total > clips.length) await attempt(load);
    draw();
    if (clips.length && current()) play(base(clips[0].name), button);
  }

  async function undo() {
    const last = done.pop();
    if (!last) return;
    const [clip, label] = last;
    const back = await attempt(async () => { await post(base(clip.name), { label: "", expected: label }); return true; });
    if (!back) return attempt(load);
    about.labelled[label] -= 1;
    about.total += 1;
    clips.unshift(clip);
    draw();
  }

  const back = () => (done.length ? h("p", {}, h("button", { className: "plain", onclick: undo }, "Take the last label back")) : "");

  function nothing() {
    return h("section", { className: "card empty" }, h("h2", {}, "Nothing to hear"),
      h("p", {}, "Devices save clips around events and near misses; the newest come here."),
      command(`speechtl listen ${word.name}.wake --save-clips ${about.folder}`),
      h("button", { onclick: () => attempt(load) }, "Look again"));
  }

  function devices() {
    const file = `${word.name}.inbox`;
    const card = h("section", { className: "card" }, h("h2", {}, "From another device"));
    if (!about.reachable) {
      card.append(h("p", { className: "soft" }, "Devices reach a studio that was started with ", h("code", {}, "--lan"), "; this one serves this computer alone."));
      return card;
    }
    card.append(
      h("p", { className: "soft" }, "Copy this file to the device: with it the device adds clips here, and can do nothing else. Keep it to yourself."),
      h("p", {}, h("a", { className: "button", href: address(word.name, "inbox-address"), download: file }, icon("ship"), `Download ${file}`)),
      command(`speechtl listen ${word.name}.wake --save-clips clips --send-clips ${file}`));
    return card;
  }

  // ---- learning from the labels
  let work = null, timer = 0;
  async function follow() {
    clearTimeout(timer);
    const { trainings } = await get(address(word.name, "trainings"));
    if (!current()) return;
    const before = work?.state;
    work = trainings.filter((one) => one.run.startsWith("adapt-")).sort((one, other) => Number(other.run.slice(6)) - Number(one.run.slice(6)))[0] || null;
    if (work?.state === "running") timer = setTimeout(() => attempt(follow), 2000);
    if (before !== work?.state || work?.state === "running") draw();
  }

  function adapting() {
    const { word: yes, "not-word": no } = about.labelled;
    const begin = async () => {
      await attempt(async () => { const { run } = await post(address(word.name, "adapt")); toast(`Adapting has begun (${run}).`); });
      await attempt(follow);
    };
    const states = { done: ["good", "The adapted bundle is in use; the previous one is kept, and Ship goes back to it."], refused: ["", "Not taken: "], failed: ["bad", ""], stopped: ["", "Stopped. "] };
    const card = h("section", { className: "card" }, h("h2", {}, "Learn from them"),
      h("p", { className: "soft" }, `${counted(yes, "clip")} of the word and ${no} of what is not teach the detector; it is replaced only if it gets better.`));
    if (work?.state === "running") {
      card.append(h("p", {}, `At work: ${work.progress.stage}…`), h("button", { onclick: () => attempt(() => post(address(word.name, "trainings", work.run, "stop"))) }, "Stop"));
    } else {
      if (work) card.append(h("div", { className: `note ${states[work.state][0]}` }, states[work.state][1] + (work.reason || "")));
      if (work?.table) card.append(h("pre", { className: "log cells", tabIndex: 0 }, work.table));
      card.append(h("button", { className: "primary", onclick: begin, disabled: !(yes + no) }, icon("train"), "Adapt"));
    }
    return card;
  }

  const labels = Object.fromEntries(VERDICTS.map(([label, , key]) => [key, () => give(label)]));
  const arrows = Object.fromEntries(Object.entries(ARROWS).map(([key, label]) => [key, () => give(label)]));
  keys({ ...labels, ...arrows, space: () => clips[0] && play(base(clips[0].name), button), z: undo });
  await load();
  await follow();
  const looking = setInterval(() => { if (!clips.length && !document.hidden) load().catch(() => {}); }, 5000);
  return () => { clearInterval(looking); clearTimeout(timer); };
}
