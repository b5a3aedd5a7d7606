// Recording: takes of the word that end by themselves, and minutes of anything else in pieces, so that little is lost in a crash.

import { address, ask, attempt, counted, get, h, icon, play, playButton, post, request, surface, colour, toast, waveform, seconds, peaksOf } from "./ui.js";
import { joined, level, microphone, takeName, wav, whyNoMicrophone } from "./microphone.js";
import { passes, send } from "./pending.js";

const BEFORE = 0.3; // seconds kept before the button was pressed
const LONGEST = 4.0, SHORTEST = 0.8, AFTER = 0.6; // seconds of a take, and of quiet that ends it
const ABOVE = 12; // dB above the quiet: speech
const SERIES = 10;
const GOAL = 10;
const PIECE = 10.0, MINUTE = 60.0; // seconds
const KINDS = {
  room: ["The room", "Nothing to say: let the room be heard, with what usually sounds in it."],
  reading: ["Reading", "Read this aloud, in your own pace."],
  talk: ["Talk", "Talk about anything, or let others talk; only leave the wake word out."],
};
const TEXT = "The kettle had just begun to sing when the postman came up the path. He carried two letters and a parcel that smelled of " +
  "oranges. “You will want to open this one first,” he said, and waited, as if the news were partly his. Outside, the rain had stopped; " +
  "seven geese crossed the yard, and somewhere a radio was counting down the hits of the week. Nobody remembered who had ordered the fruit. " +
  "We put it on the table, made room between the newspapers, and asked him to sit down for a while. He told us about the bridge, the " +
  "flood of last autumn, and a cousin who repairs clocks in Geneva, and left when it grew dark.";

export async function show(page, { word, project, keys, current }) {
  const phrase = word.phrases[0];
  const state = { speaker: localStorage.getItem("speaker") || "", mode: "word", kind: "room", live: null, series: false, left: 0, speakers: new Map(), newest: [] };
  const base = (kind, ...rest) => address(word.name, "data", kind, ...rest);

  const chips = h("div", { className: "chips", role: "group", "aria-label": "Who speaks" });
  const modes = h("div", { className: "segments" });
  const stage = h("div", { className: "card stage" });
  const list = h("ol", { className: "takes" });
  const heading = h("h2", {});
  const said = h("p", { className: "say" });
  const status = h("p", { className: "status", role: "status" });
  const meter = h("canvas", { "aria-hidden": "true" });
  const button = h("button", { onclick: toggle, "aria-label": "Record" }, icon("record"));
  const recorder = h("div", { className: "recorder" }, button, meter);
  const series = h("input", { type: "checkbox", onchange: () => { state.series = series.checked; } });
  const extra = h("div");
  stage.append(said, status, recorder, extra);
  const why = whyNoMicrophone();
  page.append(
    h("div", { className: "head" }, h("h1", {}, "Record"), h("p", {}, `Ten takes by each of a few people make “${phrase}” work for others, too.`)),
    why ? h("div", { className: "note bad" }, why) : "",
    chips, modes, stage, h("div", { className: "card" }, heading, list), phones());
  button.disabled = Boolean(why);

  // ---- what is there
  async function load() {
    const all = await get(address(word.name, "data"));
    if (!current()) return;
    const kind = state.mode === "word" ? "word" : "other";
    state.speakers = new Map([...all[kind], ...all[`kept-${kind}`]].map((one) => [one.speaker, one.files.length]));
    for (const one of [...all.word, ...all.other]) if (!state.speakers.has(one.speaker)) state.speakers.set(one.speaker, 0);
    if (!state.speaker && state.speakers.size) state.speaker = [...state.speakers.keys()].find(Boolean) || "";
    const own = all[kind].find((one) => one.speaker === state.speaker);
    const known = new Set(own?.files.map((file) => file.name));
    state.newest = [...state.newest.filter((take) => take.sending && !known.has(take.name)), ...(own?.files || []).slice().reverse()];
    draw();
    if (state.newest.some((take) => !take.sending && !take.check)) setTimeout(() => current() && load().catch(() => {}), 800);
  }

  function draw() {
    chips.replaceChildren(...[...state.speakers].filter(([name]) => name).map(([name, number]) =>
      h("button", { onclick: () => choose(name), "aria-pressed": String(name === state.speaker) }, name, h("span", { className: "count" }, String(number)))),
      h("button", { onclick: addSpeaker }, icon("plus"), state.speakers.size ? "Person" : "Who speaks?"));
    modes.replaceChildren(...[["word", `“${phrase}”`], ["other", "Anything else"]].map(([mode, title]) =>
      h("button", { onclick: () => { stop(); state.mode = mode; state.newest = []; attempt(load); }, "aria-pressed": String(mode === state.mode) }, title)));
    recorder.classList.toggle("calm", state.mode === "other");
    drawStage();
    drawTakes();
  }

  function drawStage() {
    if (state.live) return;
    status.textContent = "";
    if (state.mode === "word") {
      said.textContent = `Say “${phrase}”`;
      status.replaceChildren("Press, say it, and wait: the take ends by itself. ", h("kbd", {}, "Space"));
      series.checked = state.series;
      extra.replaceChildren(h("label", { className: "check" }, series, `${SERIES} takes, one after the other`));
    } else {
      said.textContent = KINDS[state.kind][0];
      status.textContent = KINDS[state.kind][1];
      extra.replaceChildren(
        ...(state.kind === "reading" ? [h("p", { className: "read" }, TEXT)] : []),
        h("div", { className: "segments" }, Object.entries(KINDS).map(([kind, [title]]) =>
          h("button", { onclick: () => { state.kind = kind; drawStage(); }, "aria-pressed": String(kind === state.kind) }, title))));
    }
  }

  function drawTakes() {
    const number = state.newest.length;
    const open = state.mode === "word" && number < GOAL ? `, ${GOAL - number} to go` : "";
    heading.textContent = state.speaker ? `${counted(number, state.mode === "word" ? "take" : "recording")} of ${state.speaker}${open}` : "Nobody chosen yet";
    list.replaceChildren(...state.newest.slice(0, 40).map(takeRow));
    if (number > 40) list.append(h("li", { className: "soft" }, `and ${number - 40} more, on the page Data`));
  }

  function takeRow(take) {
    const source = take.url || base(state.mode, state.speaker, take.name);
    const problems = take.check?.problems || [];
    const label = take.sending ? "saving…" : take.check ? seconds(take.check.seconds) : "checking…";
    return h("li", { className: "take" },
      playButton(source),
      waveform(take.check?.wave || take.wave || [], `Waveform, ${label}`),
      h("span", { className: "what" }, label, ...problems.map((one) => h("span", { className: "problem", title: `${one.text} ${one.remedy}` }, h("br"), one.kind))),
      h("button", { className: "plain danger", onclick: () => remove(take), "aria-label": "Remove" }, icon("remove")));
  }

  function phones() {
    if (!project.phone) return "";
    return h("details", { className: "card" }, h("summary", {}, "Record with a phone"),
      h("p", { className: "soft" }, "Scan this with a phone in the same network. It warns once, because this computer made the certificate itself; the terminal of the studio shows its fingerprint."),
      h("img", { className: "code", src: "/api/phone.svg", alt: `QR code of ${project.phone}` }));
  }

  // ---- people
  function choose(name) {
    stop();
    state.speaker = name;
    state.newest = [];
    localStorage.setItem("speaker", name);
    attempt(load);
  }

  async function addSpeaker() {
    const name = await ask("Who speaks?", "A name, or any mark that tells people apart", "Add", "Anna",
      "The person agrees that the recordings train and test wake-word detectors. They stay on the studio's computer.");
    if (!name) return "";
    const made = name.normalize("NFC").replace(/[^\p{L}\p{M}\p{Nd} ._-]+/gu, " ").trim().replace(/ +/g, " ").replace(/^[ .]+|[ .]+$/g, "").slice(0, 60);
    if (!/[\p{L}\p{Nd}]/u.test(made)) { toast("A name needs a letter or a digit.", { bad: true }); return ""; }
    if (!state.speakers.has(made)) state.speakers.set(made, 0);
    choose(made);
    return made;
  }

  // ---- takes
  async function remove(take) {
    const { speaker, mode } = state;
    if (!(await attempt(async () => { await request("DELETE", base(mode, speaker, take.name)); return true; }))) return attempt(load);
    toast("Removed.", { undo: () => attempt(async () => { await post(`${base(mode, speaker, take.name)}/restore`); await load(); }) });
    return attempt(load);
  }

  async function save(samples, name, rate) {
    const { speaker, mode } = state;
    const blob = wav(samples, rate);
    const take = { name, sending: true, url: URL.createObjectURL(blob), wave: peaksOf(samples) };
    state.newest.unshift(take);
    drawTakes();
    try {
      Object.assign(take, await send(`${base(mode, speaker, name)}?rate=${Math.round(rate)}&device=${encodeURIComponent(microphone.label)}`, blob), { sending: false });
      state.newest = state.newest.filter((one) => one === take || one.name !== take.name); // a listing may have come before the answer
      const saved = state.newest.filter((one) => !one.sending).length;
      if (speaker === state.speaker) state.speakers.set(speaker, Math.max(state.speakers.get(speaker) || 0, saved));
      if (take.check.problems.length && mode === "word") toast(`${take.check.problems[0].text} ${take.check.problems[0].remedy}`, { undo: () => remove(take) });
    } catch (error) {
      const waits = passes(error);
      if (!waits) state.newest = state.newest.filter((one) => one !== take);
      toast(error.message + (waits ? " The recording waits in this browser, and is saved as soon as that works." : ""), { bad: true });
    }
    if (current() && !state.live) draw(); else drawTakes();
    return take;
  }

  // ---- the microphone
  let recent = []; // blocks from before the button was pressed
  let meterLevel = { peak: 0, db: -90 }, clippedAt = 0, quiet = -60;

  function hear(block) {
    const now = level(block);
    meterLevel = { peak: Math.max(now.peak, meterLevel.peak * 0.85), db: now.db };
    if (now.peak >= 0.985) clippedAt = performance.now();
    if (state.live) return state.live.hear(block, now);
    quiet = now.db < quiet ? now.db : quiet + 0.05 * (Math.min(now.db, quiet + 20) - quiet);
    recent.push(block);
    if (recent.length * block.length > BEFORE * microphone.rate) recent.shift();
    return undefined;
  }

  async function toggle() {
    if (state.live) return stop(true);
    if (!state.speaker && !(await addSpeaker())) return undefined;
    const ready = await attempt(async () => { await microphone.start(); return true; });
    if (!ready || !current()) return undefined;
    microphone.listeners.add(hear);
    microphone.onlost = () => { stop(); toast("The microphone is gone. Plug it in again, and press the button.", { bad: true }); };
    state.left = state.series ? SERIES : 1;
    return state.mode === "word" ? startTake() : startMinute();
  }

  function startTake() {
    const floor = Math.max(quiet, -75);
    const take = { blocks: [...recent], length: 0, heard: false, since: 0, loudest: -90 };
    said.textContent = `Say “${phrase}”`;
    status.textContent = state.left > 1 ? `Take ${SERIES - state.left + 1} of ${SERIES}. Now.` : "Now.";
    take.hear = (block, now) => {
      take.blocks.push(block);
      take.length += block.length / microphone.rate;
      take.loudest = Math.max(take.loudest, now.db);
      const loud = now.db > Math.max(floor + ABOVE, take.loudest - 25);
      take.heard ||= loud;
      take.since = loud ? 0 : take.since + block.length / microphone.rate;
      if (take.length >= LONGEST || (take.heard && take.since >= AFTER && take.length >= SHORTEST)) endTake();
    };
    take.end = () => {
      const samples = joined(take.blocks);
      state.left -= 1;
      return take.length < 0.3 ? undefined : save(samples, `${takeName()}.wav`, microphone.rate);
    };
    begin(take);
  }

  function endTake() {
    const { live } = state;
    state.live = null;
    live.end();
    if (state.left < 1) return finish();
    status.textContent = "Good. The next one comes…";
    state.live = { hear: () => {}, end: () => undefined, pause: setTimeout(() => { if (current() && state.live) startTake(); }, 700) };
    return undefined;
  }

  function startMinute() {
    const name = `${state.kind}_${takeName()}`;
    let blocks = [], length = 0, total = 0, number = 0;
    const rate = microphone.rate;
    const flush = () => { if (length > 0.5) save(joined(blocks), `${name}_${++number}.wav`, rate); blocks = []; length = 0; };
    begin({
      hear: (block) => {
        blocks.push(block);
        length += block.length / rate;
        total += block.length / rate;
        status.textContent = `${Math.max(Math.ceil(MINUTE - total), 0)} s to go; every ten seconds are saved.`;
        if (length >= PIECE) flush();
        if (total >= MINUTE) stop();
      },
      end: flush,
    });
  }

  function begin(live) {
    state.live = live;
    recorder.classList.add("live");
    button.replaceChildren(icon("stop"));
    button.setAttribute("aria-label", "Stop");
  }

  function stop(byHand = false) {
    const { live } = state;
    if (!live) return;
    clearTimeout(live.pause);
    state.live = null;
    if (byHand || state.mode === "other") live.end();
    finish();
  }

  function finish() {
    recorder.classList.remove("live");
    button.replaceChildren(icon("record"));
    button.setAttribute("aria-label", "Record");
    if (current()) draw();
  }

  let frame = 0;
  function drawMeter() {
    frame = requestAnimationFrame(drawMeter);
    const { pen, width, height } = surface(meter);
    const middle = width / 2, radius = middle - 8;
    const from = 0.75 * Math.PI, whole = 1.5 * Math.PI;
    const share = microphone.open ? Math.min(Math.max((20 * Math.log10(meterLevel.peak + 1e-5) + 60) / 60, 0), 1) : 0;
    const clipped = performance.now() - clippedAt < 1500 && clippedAt > 0;
    pen.lineWidth = 9;
    pen.lineCap = "round";
    for (const [part, tint] of [[1, colour("--well")], [share, clipped ? colour("--red") : share > 0.93 ? colour("--amber") : colour("--accent")]]) {
      if (part <= 0.01) continue;
      pen.strokeStyle = tint;
      pen.beginPath();
      pen.arc(middle, height / 2, radius, from, from + whole * part);
      pen.stroke();
    }
    if (clipped) {
      pen.fillStyle = colour("--red");
      pen.font = "600 13px system-ui";
      pen.textAlign = "center";
      pen.fillText("too loud", middle, height - 4);
    }
  }
  drawMeter();

  const last = () => state.newest[0];
  keys({
    space: toggle,
    p: () => last() && play(last().url || base(state.mode, state.speaker, last().name), list.querySelector("button")),
    z: () => last() && !last().sending && remove(last()),
    backspace: () => last() && !last().sending && remove(last()),
  });
  const delivered = () => attempt(load);
  window.addEventListener("delivered", delivered);
  await load();
  return () => {
    stop();
    cancelAnimationFrame(frame);
    window.removeEventListener("delivered", delivered);
    microphone.listeners.delete(hear);
    microphone.stop();
  };
}
