// Trying the word: the microphone goes to the studio, and the score of its detector comes back while one speaks.

import { colour, get, h, icon, surface, toast, attempt, address } from "./ui.js";
import { level, microphone, toInt16, whyNoMicrophone } from "./microphone.js";

const SECONDS = 10; // shown
const WAITING = 400_000; // bytes not sent yet, above which sound is left out

export async function show(page, { word, project, keys, current }) {
  const head = h("div", { className: "head" }, h("h1", {}, "Try"), h("p", {}, "The same detector as on a device, fed by this browser's microphone."));
  page.append(head);
  if (!project.words.find((one) => one.name === word.name).bundle) {
    page.append(h("div", { className: "card empty" }, h("h2", {}, "Nothing to try yet"), h("p", {}, "Train the word first."),
      h("a", { className: "button primary", href: `#/${encodeURIComponent(word.name)}/train` }, "Train")));
    return undefined;
  }
  const why = whyNoMicrophone();
  const status = h("p", { className: "status", role: "status" }, "Press, and talk.");
  const button = h("button", { className: "primary", onclick: toggle, disabled: Boolean(why) }, icon("try"), "Listen", h("kbd", {}, "Space"));
  const scope = h("canvas", { className: "scope", role: "img", "aria-label": "Score over the last seconds" });
  const list = h("ol", { className: "heard", "aria-live": "polite" });
  const card = h("section", { className: "card" }, scope, h("div", { className: "row" }, button, h("div", { className: "grow" }, status)));
  page.append(why ? h("div", { className: "note bad" }, why) : "", card, h("section", { className: "card" }, h("h2", {}, "Heard"), list, h("p", { className: "soft empty-list" }, "Nothing yet.")));

  let socket = null, scores = [], threshold = 0.5, now = 0, heard = 0, peak = 0, left = 0;

  async function toggle() {
    if (socket) return stop("Press, and talk.");
    if (!(await attempt(async () => { await microphone.start(); return true; })) || !current()) return undefined;
    microphone.onlost = () => stop("The microphone is gone.");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const opened = new WebSocket(`${scheme}://${location.host}${address(word.name, "live")}?rate=${Math.round(microphone.rate)}`);
    socket = opened;
    scores = []; now = 0; left = 0;
    opened.onmessage = ({ data }) => take(JSON.parse(data));
    opened.onclose = () => socket === opened && stop("The studio ended the connection. Press to go on.");
    button.replaceChildren(icon("stop"), "Stop");
    status.textContent = "Loading the detector…";
    return undefined;
  }

  let held = [], count = 0;
  function hear(block) {
    peak = Math.max(level(block).peak, peak * 0.85);
    if (!socket || socket.readyState !== WebSocket.OPEN) return;
    held.push(toInt16(block));
    count += block.length;
    if (count < microphone.rate * 0.08) return;
    const whole = new Int16Array(count);
    let at = 0;
    for (const part of held) { whole.set(part, at); at += part.length; }
    held = []; count = 0;
    if (socket.bufferedAmount > WAITING) { left += 1; status.textContent = "The connection is too slow: some sound is left out."; return; }
    socket.send(whole.buffer);
  }

  function take(message) {
    if (message.error) { toast(message.error, { bad: true }); return stop(message.error); }
    if (message.ready) { status.textContent = `Listening. Say “${word.phrases[0]}”.`; return undefined; }
    now = message.seconds;
    if (message.score !== undefined) { scores.push([now, message.score]); threshold = message.threshold; }
    while (scores.length && scores[0][0] < now - SECONDS) scores.shift();
    for (const event of message.events) {
      heard += 1;
      page.querySelector(".empty-list")?.remove();
      list.prepend(h("li", {}, h("strong", { className: "grow" }, event.name), h("span", { className: "soft" }, `at ${event.time.toFixed(1)} s`), h("span", { className: "badge good" }, event.score.toFixed(2))));
      while (list.childElementCount > 30) list.lastChild.remove();
      card.classList.remove("flash");
      void card.offsetWidth;
      card.classList.add("flash");
      navigator.vibrate?.(60);
      scores.push([now, event.score, true]);
    }
    return undefined;
  }

  function stop(text) {
    const old = socket;
    socket = null;
    old?.close();
    held = []; count = 0;
    microphone.stop();
    button.replaceChildren(icon("try"), "Listen", h("kbd", {}, "Space"));
    status.textContent = text;
  }

  let frame = 0;
  function draw() {
    frame = requestAnimationFrame(draw);
    const { pen, width, height } = surface(scope);
    const y = (score) => height - 10 - score * (height - 22), x = (time) => width - ((now - time) / SECONDS) * width;
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    for (const part of [0, 0.5, 1]) { pen.beginPath(); pen.moveTo(0, y(part)); pen.lineTo(width, y(part)); pen.stroke(); }
    pen.strokeStyle = colour("--amber");
    pen.setLineDash([4, 5]);
    pen.beginPath(); pen.moveTo(0, y(threshold)); pen.lineTo(width, y(threshold)); pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = colour("--amber");
    pen.font = "12px system-ui";
    pen.fillText("threshold", 4, Math.max(y(threshold) - 5, 12));
    pen.strokeStyle = colour("--accent");
    pen.lineWidth = 2.5;
    pen.lineJoin = "round";
    pen.beginPath();
    scores.forEach(([time, score], index) => (index ? pen.lineTo(x(time), y(score)) : pen.moveTo(x(time), y(score))));
    pen.stroke();
    pen.fillStyle = colour("--accent");
    for (const [time, score, event] of scores) if (event) { pen.beginPath(); pen.arc(x(time), y(score), 6, 0, 7); pen.fill(); }
    pen.fillStyle = socket ? colour(peak > 0.985 ? "--red" : "--wave") : colour("--line");
    pen.fillRect(0, height - 4, width * Math.min(Math.max((20 * Math.log10(peak + 1e-5) + 60) / 60, 0), 1) * (socket ? 1 : 0), 4);
  }
  microphone.listeners.add(hear);
  draw();
  keys({ space: toggle });
  return () => { cancelAnimationFrame(frame); microphone.listeners.delete(hear); stop(""); };
}
