// Hears what happens, hands it to the page as `live-<kind>` events on the body, and says whether
// what the page shows is of now. The server beats each second; where nothing was heard for
// SILENCE_MS, or the connection broke, figures are marked as of when they last were true.
import { lang } from "./words.js";

const SILENCE_MS = 2500;
const CHECK_MS = 500;
const AGAIN_MS = 2000;
const KINDS = ["session", "cycle", "payment", "node", "story", "reset"];

export class Line {
  #source = null;
  #heardMs = 0;
  #lastId = "";
  #again = 0;

  constructor(place, banner) {
    this.place = place;
    this.banner = banner;
    place.hidden = false;
    this.#show("opening");
    this.#open();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()));
    setInterval(() => this.#check(), CHECK_MS);
  }

  // One connection for a page that is looked at: browsers allow six for all their tabs.
  #open() {
    clearTimeout(this.#again);
    if (this.#source) return;
    const after = this.#lastId ? `?after=${encodeURIComponent(this.#lastId)}` : "";
    const source = new EventSource(this.place.dataset.events + after);
    this.#source = source;
    this.#heardMs = this.#heardMs || Date.now();
    source.addEventListener("beat", () => this.#alive());
    for (const kind of KINDS) source.addEventListener(kind, (event) => this.#hear(kind, event));
    source.addEventListener("error", () => this.#broken(source));
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }

  #hear(kind, event) {
    this.#lastId = event.lastEventId || this.#lastId;
    this.#alive();
    tell(`live-${kind}`, JSON.parse(event.data));
  }

  #alive() {
    const back = this.place.dataset.state === "lost";
    this.#heardMs = Date.now();
    this.#show("live");
    this.banner.hidden = true;
    document.documentElement.classList.remove("stale");
    if (back) tell("live-back", {});
  }

  #broken(source) {
    this.#lost();
    if (source.readyState !== EventSource.CLOSED) return;
    this.#close();
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#open(), AGAIN_MS);
  }

  #check() {
    if (this.#source && Date.now() - this.#heardMs > SILENCE_MS) this.#lost();
  }

  #lost() {
    if (this.place.dataset.state === "lost") return;
    this.#show("lost");
    const time = this.banner.querySelector("time");
    time.dateTime = new Date(this.#heardMs).toISOString();
    time.textContent = new Date(this.#heardMs).toLocaleTimeString(lang, { hourCycle: "h23" });
    this.banner.hidden = false;
    document.documentElement.classList.add("stale");
    tell("live-lost", {});
  }

  #show(state) {
    if (this.place.dataset.state === state) return;
    this.place.dataset.state = state;
    this.place.querySelector(".word").textContent = this.place.dataset[state];
  }
}

function tell(name, detail) {
  document.body.dispatchEvent(new CustomEvent(name, { detail }));
}
