// Elements, requests, and what is told to people. Texts from files and people become text nodes only, never HTML.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  record: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11a6 6 0 0 0 12 0M12 17v4",
  data: "M4 6h16M4 12h16M4 18h10",
  train: "M4 18l5-6 4 3 7-9M15 6h5v5",
  result: "M5 20V11M12 20V4M19 20v-7",
  try: "M3 12h3l3-7 4 14 3-9 2 2h3",
  inbox: "M4 13l3-8h10l3 8v6H4v-6ZM4 13h5l1 3h4l1-3h5",
  ship: "M12 3v12M7 10l5 5 5-5M4 20h16",
  play: "M8 5l11 7-11 7Z",
  stop: "M7 7h10v10H7Z",
  remove: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  plus: "M12 5v14M5 12h14",
  copy: "M9 9h11v11H9ZM5 15H4V4h11v1",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export const SILENT_SERVER = "The studio does not answer. Is it still running in its terminal?";

export async function request(method, path, body, type = "application/json") {
  let answer;
  try {
    const raw = body === undefined || body instanceof Blob;
    answer = await fetch(path, { method, body: raw ? body : JSON.stringify(body), headers: body === undefined ? {} : { "Content-Type": type } });
  } catch {
    throw Object.assign(new Error(SILENT_SERVER), { silent: true });
  }
  const text = await answer.text();
  let document = {};
  try { document = JSON.parse(text); } catch { document = { error: text.slice(0, 300) }; }
  if (!answer.ok) throw Object.assign(new Error(document.error || `The studio answered ${answer.status}.`), { status: answer.status });
  return document;
}

export const get = (path) => request("GET", path);
export const post = (path, body = {}) => request("POST", path, body);

export function address(...parts) {
  return "/api/words/" + parts.map(encodeURIComponent).join("/");
}

export function toast(text, { undo, bad = false, seconds = bad ? 9 : 6 } = {}) {
  const box = h("div", { className: bad ? "toast bad" : "toast" }, h("span", { className: "grow" }, text));
  const close = () => box.remove();
  if (undo) box.append(h("button", { onclick: () => { close(); undo(); } }, "Undo"));
  else box.append(h("button", { onclick: close, "aria-label": "Close" }, "OK"));
  document.getElementById("toasts").append(box);
  setTimeout(close, seconds * 1000);
}

// Runs what a person asked for; an error becomes a sentence on the page.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    toast(error.message, { bad: true });
    return undefined;
  }
}

export function ask(question, label, button, placeholder = "", note = "") {
  return new Promise((resolve) => {
    const input = h("input", { type: "text", maxLength: 80, placeholder, autocomplete: "off" });
    const form = h("form", { method: "dialog" },
      h("h2", {}, question),
      h("label", { className: "field" }, h("span", {}, label), input),
      note ? h("p", { className: "soft" }, h("small", {}, note)) : "",
      h("div", { className: "row" },
        h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
        h("button", { className: "primary right", value: "ok" }, button)));
    const box = h("dialog", { onclose: () => { box.remove(); resolve(box.returnValue === "ok" ? input.value.trim() : ""); } }, form);
    document.body.append(box);
    box.showModal();
    input.focus();
  });
}

export function command(text) {
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); toast("Copied."); } catch { toast("Select the text and copy it; this browser does not let the page do it."); }
  };
  return h("div", { className: "command" }, h("code", {}, text), h("button", { className: "plain", onclick: copy, "aria-label": "Copy" }, icon("copy")));
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function surface(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.max(Math.round(width * scale), 1);
  canvas.height = Math.max(Math.round(height * scale), 1);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return { pen, width, height };
}

// Peaks from 0 to 100 as bars, drawn when the canvas has its size.
export function waveform(peaks, label = "Waveform") {
  const canvas = h("canvas", { role: "img", "aria-label": label });
  const draw = () => {
    const { pen, width, height } = surface(canvas);
    pen.fillStyle = colour("--wave");
    const step = width / Math.max(peaks.length, 1);
    peaks.forEach((peak, index) => {
      const tall = Math.max((Math.sqrt(peak / 100)) * height, 2);
      pen.beginPath();
      pen.roundRect(index * step + step * 0.15, (height - tall) / 2, Math.max(step * 0.7, 1), tall, 2);
      pen.fill();
    });
  };
  new ResizeObserver(draw).observe(canvas);
  return canvas;
}

export function peaksOf(samples, bars = 64) {
  const size = Math.max(Math.floor(samples.length / bars), 1);
  return Array.from({ length: bars }, (_, bar) => {
    let peak = 0;
    for (let index = bar * size; index < Math.min((bar + 1) * size, samples.length); index++) peak = Math.max(peak, Math.abs(samples[index]));
    return Math.round(Math.min(peak, 1) * 100);
  });
}

let sounding = null;
export function play(source, button) {
  const again = sounding && sounding.button === button && !sounding.audio.paused;
  if (sounding) sounding.stop();
  if (again) return;
  const audio = new Audio(source);
  const mark = (name) => button && button.replaceChildren(icon(name));
  const stop = () => { audio.pause(); mark("play"); };
  sounding = { audio, button, stop };
  audio.onended = stop;
  audio.onerror = () => { mark("play"); toast("This recording cannot be played by the browser.", { bad: true }); };
  mark("stop");
  audio.play().catch(() => mark("play"));
}

export function playButton(source) {
  const button = h("button", { className: "plain", "aria-label": "Play" }, icon("play"));
  button.addEventListener("click", () => play(typeof source === "function" ? source() : source, button));
  return button;
}

export function counted(number, noun, plural = noun + "s") {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

export function percent(value) {
  return `${(100 * value).toFixed(value > 0 && value < 1 && (value > 0.995 || value < 0.005) ? 1 : 0)} %`;
}

export function rate(value) {
  return value >= 10 ? value.toFixed(0) : value >= 1 ? String(Number(value.toFixed(1))) : String(Number(value.toPrecision(1)));
}

export function seconds(value) {
  return value >= 90 ? `${(value / 60).toFixed(1)} min` : `${value.toFixed(1)} s`;
}
