// The page that checks receipts: what is chosen on it, and how each step is shown. What is checked, and
// how, is in verify/.
import { Broken, hex, OCTETS_MAX } from "./verify/form.js";
import { Node, Unreachable } from "./verify/node.js";
import { readManifest } from "./verify/manifest.js";
import { Verifier } from "./verify/verify.js";
import { sha256 } from "./verify/canonical.js";

const place = document.querySelector("[data-check]");
const verdict = place.querySelector("[data-verdict]");
const input = place.querySelector("#rpc");
const shown = document.querySelector("[data-text]");
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
let manifestText = place.dataset.manifest;

class NotAllowed extends Error {}

const addressOf = (text) => (URL.canParse(text, location.href) ? new URL(text, location.href) : null);

/** Return the node that was chosen, where this page may ask it. */
function chosenNode() {
  const url = addressOf(input.value.trim());
  if (!url || !["http:", "https:"].includes(url.protocol)) throw new NotAllowed(input.value);
  const own = url.origin === location.origin;
  const allowed = own || place.dataset.asks.split(" ").some((pattern) => {
    const [start, any] = pattern.split(":*");
    return any === undefined ? url.origin === pattern : `${url.protocol}//${url.hostname}` === start;
  });
  if (!allowed) throw new NotAllowed(url.origin);
  return new Node(url.href);
}

// steps

const MONEY_DIGITS = 6;
const short = (text) => (text.length > 20 ? `${text.slice(0, 10)}…${text.slice(-8)}` : text);

function money(minor) {
  const digits = String(minor).padStart(MONEY_DIGITS + 1, "0");
  return `${digits.slice(0, -MONEY_DIGITS)}.${digits.slice(-MONEY_DIGITS)} ${place.dataset.code}`;
}

const FIGURES = {
  chain: ({ chain, genesis }) => `${chain} · ${short(genesis)}`,
  code: ({ contracts }) => `${contracts} / ${contracts}`,
  form: ({ octets }) => `${octets} octets`,
  usage: ({ recordId }) => short(recordId),
  rating: ({ amounts }) => amounts.map(([name, minor]) => `${name} ${money(minor)}`).join(" · "),
  stake: ({ ppm, account }) => `${ppm} ppm · ${short(account)}`,
  signature: ({ signedBy }) => Object.entries(signedBy)
    .map(([name, keys]) => `${name} ${keys.map(short).join(", ")}`).join(" · "),
  settlement: ({ sequence, txHash }) => `${sequence} · ${short(txHash)}`,
  record: ({ root }) => short(root),
  finality: ({ profile, depth, block }) => `${profile} · block ${block} · depth ${depth}`,
  choice: ({ taken, best, of }) => `${taken} · ${best ?? "–"} · ${of}`,
};

const stepOf = (name) => place.querySelector(`[data-step="${name}"]`);

/** Show how a step ended: good, none (not part of the receipt), wait, act (it broke). */
function show(name, state, figure = "", detail = "") {
  const step = stepOf(name);
  step.dataset.state = state;
  const said = step.querySelector(`[data-said="${state}"]`) ? state : "good";
  for (const words of step.querySelectorAll("[data-said]")) words.hidden = words.dataset.said !== said;
  for (const word of step.querySelectorAll("[data-word]")) word.hidden = word.dataset.word !== state;
  const code = step.querySelector("[data-figure]");
  code.textContent = figure;
  code.hidden = !figure;
  const told = step.querySelector("[data-detail]");
  if (told) told.textContent = detail;
}

const isEmpty = (name, facts) => facts === null
  || (name === "signature" && !Object.keys(facts.signedBy).length)
  || (name === "rating" && !facts.amounts.length);

function told(name, facts) {
  if (isEmpty(name, facts)) return show(name, "none");
  if (name === "finality" && !facts.isFinal) return show(name, "wait", FIGURES.finality(facts));
  return show(name, "good", FIGURES[name](facts));
}

function clear() {
  for (const step of place.querySelectorAll("[data-step]")) show(step.dataset.step, "idle");
}

function say(state, detail = "") {
  verdict.dataset.state = state;
  for (const words of verdict.querySelectorAll("[data-say]")) words.hidden = words.dataset.say !== state;
  const more = verdict.querySelector(`[data-say="${state}"] code`);
  if (more) more.textContent = detail;
}

// checking

async function opened() {
  const verifier = new Verifier(readManifest(manifestText), chosenNode(), told);
  await verifier.checkVenue();
  return verifier;
}

/** Say what stands in the way: a step that broke, a node that is silent, or our own mistake. */
function failed(error) {
  if (error instanceof NotAllowed) return say("not-allowed", error.message);
  if (error instanceof Unreachable) return say("wait", error.message);
  if (!(error instanceof Broken)) throw error;
  if (stepOf(error.reason)) show(error.reason, "act", "", error.message);
  return say("act", error.message);
}

async function checkOne(name, text) {
  clear();
  say("busy");
  try {
    await (await opened()).verify(typeof text === "string" ? text : await text());
    say("good", name);
  } catch (error) {
    failed(error);
  }
}

async function outcome(verifier, file) {
  try {
    await verifier.verify(await textOf(file));
    return { state: "good", reason: "", detail: "" };
  } catch (error) {
    if (error instanceof Unreachable) return { state: "wait", reason: "", detail: error.message };
    if (!(error instanceof Broken)) throw error;
    return { state: "act", reason: error.reason, detail: error.message };
  }
}

async function checkMany(files) {
  const rows = place.querySelector("[data-many] tbody");
  clear();
  say("busy");
  rows.replaceChildren();
  try {
    const verifier = await opened();
    verifier.told = () => {};
    const found = [];
    for (const file of files) found.push([file.name, await outcome(verifier, file)]);
    rows.append(...found.map(([name, one]) => row(rows, name, one)));
    const held = found.filter(([, one]) => one.state === "good").length;
    say(held === found.length ? "good" : "act", `${held} / ${found.length}`);
  } catch (error) {
    failed(error);
  }
}

function row(rows, name, { state, reason, detail }) {
  const line = document.createElement("tr");
  line.dataset.state = state;
  line.dataset.reason = reason;
  const cells = [name, rows.dataset[state], reason ? `${reason}: ${detail}` : detail].map((text, i) => {
    const cell = document.createElement("td");
    cell.append(document.createElement(i === 1 ? "span" : "bdi"));
    cell.firstChild.textContent = text;
    return cell;
  });
  cells[0].className = "first";
  cells[1].dataset.label = rows.dataset.labelVerdict;
  cells[2].dataset.label = rows.dataset.labelBroke;
  line.append(...cells);
  return line;
}

async function textOf(file) {
  if (file.size > OCTETS_MAX) throw new Broken("form", `more than ${OCTETS_MAX} octets`);
  try {
    return utf8.decode(await file.arrayBuffer());
  } catch {
    throw new Broken("form", "not text");
  }
}

async function checkFiles(files) {
  const many = files.length > 1;
  place.querySelector("[data-many]").hidden = !many;
  place.querySelector("[data-steps]").hidden = many;
  if (files.length > Number(place.dataset.most)) return say("act", String(files.length));
  return many ? checkMany(files) : checkOne(files[0].name, () => textOf(files[0]));
}

// what is chosen

function showManifest() {
  const manifest = readManifest(manifestText);
  document.querySelector("[data-digest]").textContent =
    short(hex(sha256(new TextEncoder().encode(manifestText))));
  document.querySelector("[data-domain]").textContent = manifest.domain;
  const entries = Object.entries(manifest.contracts).map(([name, { address }]) => {
    const entry = document.createElement("div");
    entry.append(document.createElement("dt"), document.createElement("dd"));
    [name, address].forEach((text, i) => {
      entry.children[i].append(document.createElement("code"));
      entry.children[i].firstChild.textContent = text;
    });
    return entry;
  });
  document.querySelector("[data-contracts]").replaceChildren(...entries);
}

async function chooseManifest(file) {
  const before = manifestText;
  clear();
  try {
    manifestText = await textOf(file);
    showManifest();
    say("idle");
  } catch (error) {
    manifestText = before;
    failed(error);
  }
}

function chosen(id, take) {
  const field = document.getElementById(id);
  field.addEventListener("change", async () => {
    const files = [...field.files];
    if (files.length) await take(files);
    field.value = "";
  });
}

input.value = addressOf(place.dataset.rpc).href;
place.querySelector("[data-go]")?.addEventListener("click", () => {
  place.querySelector("[data-many]").hidden = true;
  place.querySelector("[data-steps]").hidden = false;
  checkOne("", shown.textContent);
});
chosen("files", checkFiles);
chosen("manifest", ([file]) => chooseManifest(file));
showManifest();
