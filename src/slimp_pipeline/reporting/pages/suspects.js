"use strict";
// What is decided, by image id; an image may stand in several suspects, which then show the same.
const decisions = new Map();
const KNOWN = ["keep", "drop", "duplicate_of", "wrong_label"];
const KEYS = new Map([["k", "keep"], ["d", "drop"], ["o", "duplicate_of"], ["w", "wrong_label"], ["u", ""]]);
const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/;  // what a spreadsheet would compute; ingest takes the apostrophe away again
const figures = [...document.querySelectorAll("figure[data-image]")];
const figuresOf = new Map();
figures.forEach(figure => figuresOf.set(figure.dataset.image, [...(figuresOf.get(figure.dataset.image) || []), figure]));
const download = document.getElementById("download"), status = document.getElementById("status");
let changed = false;

function decide(image, decision, note) {
  if (decision) decisions.set(image, {decision, note});
  else decisions.delete(image);
  const other = decision === "duplicate_of" && decisions.get(note);
  if (other && other.decision === "duplicate_of" && other.note === image) decide(note, "", "");  // one has to stay
  (figuresOf.get(image) || []).forEach(show);
  tell();
}

function show(figure) {
  const {decision, note} = decisions.get(figure.dataset.image) || {decision: "", note: ""};
  const here = decision !== "duplicate_of" || note === figure.dataset.other;
  figure.querySelectorAll("input[type=radio]").forEach(radio => { radio.checked = here && radio.value === decision; });
  const text = figure.querySelector("input[type=text]");
  text.value = decision === "duplicate_of" ? (here ? "" : `duplicate of ${note}`) : note;
  text.disabled = !decision || decision === "duplicate_of";
  const card = figure.closest(".suspect");
  const own = [...card.querySelectorAll("figure")];
  card.classList.toggle("decided", own.every(one => decisions.has(one.dataset.image)));
}

function tell() {
  const shown = [...decisions.keys()].filter(image => figuresOf.has(image)).length;
  const more = decisions.size - shown;
  status.textContent = `${shown} of ${figuresOf.size} images are decided` + (more ? `, and ${more} that this page doesn't show` : "") + ".";
  download.disabled = !decisions.size;
}

function cell(text) {
  const guarded = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

function written() {
  const lines = [...decisions].map(([image, {decision, note}]) => [image, decision, note].map(cell).join(","));
  return ["image_id,decision,note", ...lines].join("\r\n") + "\r\n";
}

function parsed(text) {
  const rows = [[]];
  let value = "", quoted = false;
  const end = () => { rows.at(-1).push(/^''*[=+\-@\t\r\n＝＋－＠]/.test(value) ? value.slice(1) : value); value = ""; };
  for (let at = text.charCodeAt(0) === 0xfeff ? 1 : 0; at < text.length; at++) {
    const sign = text[at];
    if (quoted) {
      if (sign !== '"') value += sign;
      else if (text[at + 1] === '"') value += text[++at];
      else quoted = false;
    } else if (sign === '"') quoted = true;
    else if (sign === ",") end();
    else if (sign === "\n") { end(); rows.push([]); }
    else if (sign !== "\r") value += sign;
  }
  end();
  return rows.filter(row => row.some(text => text));
}

function load(text) {
  const [header = [], ...rows] = parsed(text);
  const [image, decision, note] = ["image_id", "decision", "note"].map(name => header.indexOf(name));
  const wrong = rows.findIndex(row => row[decision] && !KNOWN.includes(row[decision]));
  if (image < 0 || decision < 0) status.textContent = "This is no decision file: it needs the columns image_id, decision, note.";
  else if (wrong >= 0) status.textContent = `Row ${wrong + 2}: '${rows[wrong][decision]}' is no decision. Nothing was taken over.`;
  else rows.forEach(row => { if (row[decision]) decide(row[image], row[decision], row[note] || ""); });
}

figures.forEach(figure => figure.addEventListener("change", event => {
  const {image, other} = figure.dataset, text = figure.querySelector("input[type=text]");
  const chosen = figure.querySelector("input[type=radio]:checked");
  const before = (decisions.get(image) || {decision: ""}).decision;
  const decision = chosen ? chosen.value : before;
  const note = decision === "duplicate_of" ? other : before === "duplicate_of" ? "" : text.value;
  changed = true;
  decide(image, decision, decision ? note : "");
}));

document.addEventListener("keydown", event => {
  if (event.target.type === "text" || event.ctrlKey || event.metaKey || event.altKey) return;
  const visible = [...document.querySelectorAll(".suspect")].filter(card => card.offsetParent);
  const card = event.target.closest(".suspect"), at = visible.indexOf(card);
  if (event.key === "n" || event.key === "p") {
    const next = visible[event.key === "n" ? at + 1 : Math.max(at - 1, 0)];
    if (next) { next.querySelector("input[type=radio]").focus(); next.scrollIntoView({block: "start"}); }
  } else if (KEYS.has(event.key) && card) {
    const figure = event.target.closest("figure") || card.querySelector("figure");
    const radio = [...figure.querySelectorAll("input[type=radio]")].find(one => one.value === KEYS.get(event.key));
    if (radio) { radio.focus(); radio.click(); }
  } else return;
  event.preventDefault();
});

download.addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([written()], {type: "text/csv"}));
  link.download = `decisions_${document.body.dataset.cohort}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  changed = false;
});
document.getElementById("load").addEventListener("change", async event => {
  const [file] = event.target.files;
  if (file) load(await file.text());
  event.target.value = "";
});
document.getElementById("hide").addEventListener("change", event => document.body.classList.toggle("hide-decided", event.target.checked));
addEventListener("beforeunload", event => { if (changed) event.preventDefault(); });
figures.forEach(show);
