// The bundle: download, what it states of itself, and copying it to a device.

import { address, attempt, command, get, h, icon, post, toast } from "./ui.js";

export async function show(page, { word, keys }) {
  page.append(h("div", { className: "head" }, h("h1", {}, "Ship"), h("p", {}, "One file for the device; it needs neither this computer nor a network.")));
  let about;
  try {
    about = await get(address(word.name, "certificate"));
  } catch (error) {
    page.append(error.status === 404 ? h("div", { className: "card empty" }, h("h2", {}, "No bundle yet"), h("p", {}, "Train the word first."),
      h("a", { className: "button primary", href: `#/${encodeURIComponent(word.name)}/train` }, "Train")) : h("div", { className: "note bad" }, error.message));
    return undefined;
  }
  page.append(
    about.note ? h("div", { className: "note" }, about.note, " ", h("a", { href: `#/${encodeURIComponent(word.name)}/result` }, "Choose again")) : "",
    h("section", { className: "card" }, h("div", { className: "row" }, h("div", { className: "grow" }, h("h2", {}, about.file), h("small", {}, about.size)),
      h("a", { className: "button primary", href: address(word.name, "bundle"), download: about.file }, icon("ship"), "Download")),
    h("p", {}), h("p", { className: "soft" }, "On the device:"), command(`speechtl listen ${about.file}${about.option ? ` ${about.option}` : ""}`)),
    device(word), about.previous ? previous(word) : "", statement(about));
  keys({});
  return undefined;
}

function device(word) {
  const host = h("input", { type: "text", placeholder: "pi@raspberrypi.local", value: localStorage.getItem("device") || "", autocapitalize: "off", spellcheck: false });
  const install = h("input", { type: "checkbox", checked: true });
  const report = h("div");
  const copy = async (event) => {
    event.preventDefault();
    localStorage.setItem("device", host.value);
    const button = event.target.querySelector("button");
    button.disabled = true;
    report.replaceChildren(h("p", { className: "soft" }, "Copying…"));
    try {
      const { done } = await post(address(word.name, "copy"), { host: host.value.trim(), install: install.checked });
      report.replaceChildren(h("div", { className: "note good" }, done));
    } catch (error) {
      report.replaceChildren(h("div", { className: "note bad" }, error.message));
    }
    button.disabled = false;
  };
  return h("section", { className: "card" }, h("h2", {}, "Copy to a device"),
    h("form", { onsubmit: copy },
      h("label", { className: "field" }, h("span", {}, "Device, over ssh with a key"), host),
      h("label", { className: "check" }, install, "Install it, and reload the listener"),
      h("p", {}, h("button", {}, "Copy"))), report);
}

function previous(word) {
  const back = async () => {
    await post(address(word.name, "go-back"));
    toast("The previous bundle is in use; the other one is kept.");
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return h("section", { className: "card" }, h("h2", {}, "The bundle before this one"),
    h("p", { className: "soft" }, "It was kept when this one was trained or adapted. Going back keeps this one, so you can come here again."),
    h("p", {}, h("button", { onclick: () => attempt(back) }, "Go back")));
}

function statement(about) {
  const { parity = [], licence, versions = {}, encoder = {} } = about.stated;
  const rows = [
    ["Words", about.words.map((one) => `${one.phrases.join(", ") || one.name} (threshold ${Number(one.threshold.toPrecision(4))})`).join("; ")],
    ["Encoder", encoder.source || encoder.name || ""],
    ["Graphs", about.graphs.join(", ")],
    ["Same scores as in training", parity.map((one) => `${one.graph}: ${one.ok ? "yes" : "no"}`).join(", ")],
    ["Commercial use", licence ? `${licence.commercial}${licence.reasons?.length ? `: ${licence.reasons.join("; ")}` : ""}` : ""],
    ["Made with", Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")],
  ];
  return h("section", { className: "card" }, h("h2", {}, "What it states of itself"),
    h("table", {}, h("tbody", {}, rows.filter(([, value]) => value).map(([name, value]) => h("tr", {}, h("th", {}, name), h("td", {}, value))))));
}
