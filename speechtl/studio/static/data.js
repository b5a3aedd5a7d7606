// What is there, by speaker, with the checks; files and folders are uploaded here, and speakers are kept for the test.

import { address, attempt, counted, get, h, icon, playButton, post, request, seconds, toast, waveform } from "./ui.js";

const TITLES = { word: "The word", other: "Anything else" };
const SHOWN = 60; // recordings of a speaker

export async function show(page, { word, project, keys, current }) {
  const base = (...rest) => address(word.name, "data", ...rest);
  const open = new Set();
  let onlyProblems = false, all = null, timer = 0;
  const lists = h("div");
  const filter = h("label", { className: "check" }, h("input", { type: "checkbox", onchange: (event) => { onlyProblems = event.target.checked; draw(); } }), "Only what has a problem");
  page.append(
    h("div", { className: "head" }, h("h1", {}, "Data"), h("p", {}, "Recordings by speaker, checked for silence, clipping, length and doubles.")),
    uploads(), filter, lists);

  async function load() {
    all = await get(base());
    if (!current()) return;
    draw();
    clearTimeout(timer);
    if (Object.values(all).flat().some((one) => one.files.some((file) => !file.check))) timer = setTimeout(() => attempt(load), 1000);
  }

  function draw() {
    lists.replaceChildren(...["word", "other"].map((kind) => {
      const people = [...all[kind].map((one) => ({ ...one, kind })), ...all[`kept-${kind}`].map((one) => ({ ...one, kind: `kept-${kind}` }))];
      const files = people.flatMap((one) => one.files);
      const total = files.reduce((sum, file) => sum + (file.check?.seconds || 0), 0);
      return h("section", { className: "card" },
        h("div", { className: "row" }, h("h2", { className: "grow" }, TITLES[kind]), h("small", {}, `${counted(files.length, "recording")}, ${seconds(total)}`)),
        people.length ? people.map(person) : h("p", { className: "soft" }, kind === "word" ? "Nothing yet: record it, or upload recordings above." :
          project.negatives.length ? `Only what the studio was started with: ${project.negatives.join(", ")}.` :
          "Nothing yet: training takes speech that anybody may use. Some minutes of your own rooms and voices help more: record or upload them."));
    }));
  }

  function person({ speaker, files, kind }) {
    const key = `${kind}/${speaker}`;
    const bad = files.filter((file) => file.check?.problems.length);
    const shown = (onlyProblems ? bad : files).slice(0, SHOWN);
    if (onlyProblems && !bad.length) return null;
    const keep = speaker && h("button", { onclick: (event) => { event.preventDefault(); move(kind, speaker); } },
      kind.startsWith("kept-") ? "Use for training" : "Keep for the test");
    const list = h("details", { open: open.has(key), ontoggle: (event) => (event.target.open ? open.add(key) : open.delete(key)) },
      h("summary", {}, h("span", { className: "grow" }, speaker || "no speaker"), kind.startsWith("kept-") && h("span", { className: "badge good" }, "for the test"),
        bad.length ? h("span", { className: "badge fair" }, counted(bad.length, "problem")) : null, h("span", { className: "badge" }, String(files.length))),
      keep && h("div", { className: "row" }, keep, h("small", { className: "grow" }, kind.startsWith("kept-") ? "Never heard in training." : "Someone the training never hears shows how it does for others.")),
      h("ol", { className: "takes" }, shown.map((file) => row(kind, speaker, file))),
      files.length > SHOWN && !onlyProblems ? h("p", { className: "soft" }, `and ${counted(files.length - SHOWN, "other")}`) : null);
    return list;
  }

  function row(kind, speaker, file) {
    const at = base(kind, speaker || "-", file.name);
    return h("li", { className: "take" },
      playButton(at),
      file.check?.wave.length ? waveform(file.check.wave) : h("span", { className: "grow soft" }, "…"),
      h("span", { className: "what" }, h("span", { className: "name", title: file.name }, file.check ? seconds(file.check.seconds) : "checking…"),
        (file.check?.problems || []).map((one) => h("span", { className: "problem", title: one.remedy }, h("br"), one.text))),
      speaker ? h("button", { className: "plain danger", "aria-label": "Remove", onclick: () => remove(at) }, icon("remove")) : null);
  }

  async function remove(at) {
    const done = await attempt(async () => { await request("DELETE", at); return true; });
    if (done) toast("Removed.", { undo: () => attempt(async () => { await post(`${at}/restore`); await load(); }) });
    await attempt(load);
  }

  async function move(kind, speaker) {
    await attempt(() => post(base(kind, speaker, "keep")));
    await attempt(load);
  }

  // ---- uploads
  function uploads() {
    const kind = h("select", { "aria-label": "What it is" }, h("option", { value: "word" }, TITLES.word), h("option", { value: "other" }, TITLES.other));
    const speaker = h("input", { type: "text", placeholder: "speaker", "aria-label": "Speaker", maxLength: 60 });
    const report = h("div");
    const begin = (files) => attempt(() => upload([...files], kind.value, speaker.value.trim(), report));
    const files = h("input", { type: "file", multiple: true, hidden: true, accept: "audio/*,video/*", onchange: () => begin(files.files) });
    const folder = h("input", { type: "file", hidden: true, onchange: () => begin(folder.files) });
    folder.setAttribute("webkitdirectory", "");
    const drop = h("div", { className: "drop", ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); }, ondragleave: () => drop.classList.remove("over"),
      ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); begin(event.dataTransfer.files); } },
    h("div", { className: "uploads" }, kind, speaker,
      h("button", { onclick: () => files.click() }, "Files"), h("button", { onclick: () => folder.click() }, "Folder")), files, folder,
    h("small", {}, "Or drop files here. Long ones are welcome; in a folder, the sub-folders are the speakers."));
    return h("section", { className: "card" }, h("h2", {}, "Upload"), drop, report);
  }

  async function upload(files, kind, speaker, report) {
    const failed = [];
    let done = 0;
    const bar = h("i");
    const line = h("p", { className: "soft" });
    report.replaceChildren(h("div", { className: "bar" }, bar), line);
    for (const [number, file] of files.entries()) {
      line.textContent = `${number + 1} of ${files.length}: ${file.name}`;
      const parts = (file.webkitRelativePath || "").split("/");
      const who = parts.length > 2 ? parts[parts.length - 2] : speaker || (parts.length > 1 ? parts[0] : "uploaded");
      try {
        if (file.size > project.most_bytes) throw new Error(`it has ${(file.size / 1e9).toFixed(1)} GB, and ${project.most_bytes / 1e9} GB are the most; copy it into ${project.folder} yourself`);
        if (!file.name.startsWith(".")) { await request("PUT", base(kind, who, file.name), file, "application/octet-stream"); done++; }
      } catch (error) {
        failed.push(`${file.name}: ${error.message}`);
        if (error.silent) break;
      }
      bar.style.width = `${(100 * (number + 1)) / files.length}%`;
    }
    line.textContent = `${counted(done, "file")} saved.`;
    if (failed.length) report.append(h("div", { className: "note bad" }, h("p", {}, `${counted(failed.length, "file")} could not be used:`), failed.slice(0, 12).map((text) => h("p", {}, text))));
    await load();
  }

  keys({});
  await load();
  return () => clearTimeout(timer);
}
