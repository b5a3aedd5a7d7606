// What a training reached: a slider in false accepts per day against recall, with limits, and the report on what was kept for the test.

import { address, attempt, counted, get, h, percent, post, rate, toast } from "./ui.js";

const WIDTH = 420, HEIGHT = 190;
const SVG = "http://www.w3.org/2000/svg";

export async function show(page, { word, rest, keys, current }) {
  const { trainings } = await get(address(word.name, "trainings"));
  const done = trainings.filter((one) => one.state === "done" && !one.run.startsWith("adapt-"));
  const head = h("div", { className: "head" }, h("h1", {}, "Result"));
  page.append(head);
  if (!done.length) {
    page.append(h("div", { className: "card empty" }, h("h2", {}, "No result yet"), h("p", {}, "Train the word first."),
      h("a", { className: "button primary", href: `#/${encodeURIComponent(word.name)}/train` }, "Train")));
    return undefined;
  }
  const run = done.some((one) => one.run === rest[0]) ? rest[0] : done[0].run;
  const result = await get(address(word.name, "results", run));
  if (!current()) return undefined;
  if (done.length > 1) {
    const chooser = h("select", { "aria-label": "Training", onchange: () => { location.hash = `#/${encodeURIComponent(word.name)}/result/${encodeURIComponent(chooser.value)}`; } },
      done.map((one) => h("option", { value: one.run, selected: one.run === run }, `Training ${one.run}`)));
    head.append(chooser);
  }
  if (result.points.length) page.append(balance(word, result)); else page.append(h("div", { className: "note" }, "This training was not calibrated: there is nothing to choose from."));
  if (result.data.positives.speakers < 2) {
    page.append(h("div", { className: "note" }, "One person said all takes, so this says how well that person is heard, and nothing of others. ",
      "Let others record, too, or train with synthesised voices."));
  }
  page.append(facts(result));
  if (result.report) {
    page.append(h("section", { className: "card" }, h("div", { className: "row" }, h("h2", { className: "grow" }, "On what was kept for the test"),
      h("a", { className: "button", href: result.report, target: "_blank", rel: "noopener" }, "Open the report")), h("iframe", { src: result.report, title: "Report" })));
  } else {
    page.append(h("div", { className: "note" }, "No speaker is kept for the test. On the page Data, keep one speaker of the word and one of anything else, and train again: ",
      "the report then plays every miss and every false accept."));
  }
  keys({});
  return undefined;
}

function balance(word, result) {
  const points = result.points;
  const nearest = (value) => points.reduce((best, point, index) => (Math.abs(Math.log(point.per_day / value)) < Math.abs(Math.log(points[best].per_day / value)) ? index : best), 0);
  const aimed = nearest(result.aimed_per_day);
  const slider = h("input", { type: "range", min: 0, max: points.length - 1, step: 1, value: nearest(result.chosen_per_day || result.aimed_per_day), "aria-label": "False accepts per day", oninput: draw, onchange: save });
  const beyond = h("strong", {}), chosen = h("span", {});
  const figures = h("div", { className: "figures" });
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  picture.setAttribute("class", "curve");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "Recall by false accepts per day, with 95 % limits");

  function draw() {
    const point = points[slider.value];
    figures.replaceChildren(
      h("div", { className: "figure" }, h("strong", {}, percent(point.recall)), h("span", {}, `heard of the words: ${limits(point)}`)),
      h("div", { className: "figure" }, h("strong", {}, rate(point.per_day)), h("span", {}, `false accepts a day (with 95 % confidence at most ${rate(point.per_day_high)})`)));
    chosen.textContent = `Threshold ${Number(point.threshold.toPrecision(3))}${Number(slider.value) === aimed ? ", as trained" : ""}. `;
    slider.setAttribute("aria-valuetext", `${rate(point.per_day)} false accepts a day, recall ${percent(point.recall)}`);
    beyond.textContent = point.beyond;
    plot(picture, points, Number(slider.value));
  }
  async function save() {
    const index = Number(slider.value);
    const saved = await attempt(async () => { await post(address(word.name, "threshold"), { per_day: index === aimed ? null : points[index].per_day }); return true; });
    if (saved) toast(index === aimed ? "Back to the threshold of the training." : "Try and Ship use this threshold now.", { seconds: 3 });
  }
  draw();
  return h("section", { className: "card" },
    h("h2", {}, "How sensitive"), figures, picture, slider,
    h("div", { className: "ends" }, h("span", {}, "fires less by mistake"), h("span", {}, "misses less")),
    h("p", { className: "soft" }, h("small", {}, chosen, `Measured in validation, on ${result.speakers_apart ? "speakers" : "recordings"} that the training did not learn from; limits are 95 %. `,
`${result.hours.toFixed(1)} h of anything else were heard. `, beyond)));
}

function limits(point) {
  return `${percent(point.recall_low)} to ${percent(point.recall_high)}`;
}

function plot(picture, points, chosen) {
  const left = 46, right = WIDTH - 10, top = 10, bottom = HEIGHT - 30;
  const logs = points.map((point) => Math.log(point.per_day));
  const x = (index) => (points.length === 1 ? (left + right) / 2 : left + ((logs[index] - logs[0]) / (logs[logs.length - 1] - logs[0])) * (right - left));
  const y = (recall) => bottom - recall * (bottom - top);
  const add = (name, attributes, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    picture.append(element);
  };
  picture.replaceChildren();
  for (const part of [0, 0.5, 1]) {
    add("line", { x1: left, x2: right, y1: y(part), y2: y(part), stroke: "var(--line)" });
    add("text", { x: left - 8, y: y(part) + 4, "text-anchor": "end", "font-size": 12, fill: "var(--soft)" }, percent(part));
  }
  const upper = points.map((point, index) => `${x(index)},${y(point.recall_high)}`), lower = points.map((point, index) => `${x(index)},${y(point.recall_low)}`).reverse();
  add("polygon", { points: [...upper, ...lower].join(" "), fill: "var(--accent)", opacity: 0.16 });
  add("polyline", { points: points.map((point, index) => `${x(index)},${y(point.recall)}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 2.5 });
  add("line", { x1: x(chosen), x2: x(chosen), y1: top, y2: bottom, stroke: "var(--accent)", "stroke-dasharray": "3 4" });
  add("circle", { cx: x(chosen), cy: y(points[chosen].recall), r: 7, fill: "var(--accent)", stroke: "var(--card)", "stroke-width": 2 });
  const labelled = [0, Math.floor((points.length - 1) / 2), points.length - 1];
  for (const index of new Set(labelled)) add("text", { x: x(index), y: bottom + 20, "text-anchor": index === 0 ? "start" : index === points.length - 1 ? "end" : "middle", "font-size": 12, fill: "var(--soft)" }, `${rate(points[index].per_day)} a day`);
}

function facts(result) {
  const kinds = result.data;
  const rows = [
    ["The word", `${counted(kinds.positives.clips, "take")} of ${counted(kinds.positives.speakers, "speaker")}, ${kinds.positives.minutes} min`],
    ["Anything else", `${counted(kinds.negatives.clips, "recording")}, ${kinds.negatives.minutes} min`],
    ["Trained in", `${result.minutes} min`],
    ["Commercial use", `${result.licence.commercial}${result.licence.reasons.length ? `: ${result.licence.reasons.join("; ")}` : ""}`],
  ];
  return h("section", { className: "card" }, h("h2", {}, "What it was made of"), h("table", {}, h("tbody", {}, rows.map(([name, value]) => h("tr", {}, h("th", {}, name), h("td", {}, value))))));
}
