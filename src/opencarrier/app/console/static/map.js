// The world in Equal Earth on a canvas. The server sums nodes up by cells; asked for is only what
// is in view, at the level whose cells are some pixels wide. The land is a path drawn once for a
// size and then only moved and scaled, so panning costs next to nothing.
import { resolved } from "./chart.js";
import { counted, listed } from "./words.js";

const CLOSEST = 24;
const CELL_PX = 6;
const COARSEST_DEG = 16;
const LEVEL_MAX = 9;
const SNAP_CELLS = 16;
const KEPT_MAX = 64;
const PULSE_MS = 1800;
const PULSES_MAX = 60;
const SETTLE_MS = 140;
const UDEG = 1e6;
const SHOWN = { type: "MultiPoint", coordinates: [[-168.9, 0], [190.9, 0], [11, 83.8], [11, -57]] };

export class WorldMap {
  #view = { k: 1, x: 0, y: 0 };
  #cells = { level: 0, points: [] };
  #live = [];
  #pulses = [];
  #kept = new Map();
  #pointers = new Map();
  #timer = 0;
  #frame = 0;
  #asking = null;

  constructor(place) {
    this.place = place;
    this.canvas = place.querySelector("canvas");
    this.tip = place.querySelector(".tip");
    this.context = this.canvas.getContext("2d");
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    place.hidden = false;
    this.#listen();
    fetch(place.dataset.land)
      .then((answer) => answer.json())
      .then((world) => {
        this.land = topojson.feature(world, world.objects.land);
        new ResizeObserver(() => this.#measure()).observe(place);
        this.#measure();
      });
  }

  // Shows a sign of life of a node where it is, and asks again where sessions stand.
  pulse({ at_udeg: at, state }) {
    this.#later(() => this.ask({}));
    if (!at || this.still.matches || document.hidden) return;
    this.#pulses.push({ at: [at[0] / UDEG, at[1] / UDEG], state, bornMs: performance.now() });
    if (this.#pulses.length > PULSES_MAX) this.#pulses.shift();
    this.#redraw();
  }

  paint() {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => resolved(this.place, css.getPropertyValue(name));
    this.colours = { sea: colour("--sea"), land: colour("--land"), node: colour("--accent-strong"), live: colour("--accent"), wait: colour("--wait") };
    this.#redraw();
  }

  async ask({ anew = false }) {
    if (!this.projection) return;
    if (anew) this.#kept.clear();
    this.#asking?.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    try {
      const [cells, live] = await Promise.all([this.#cellsInView(signal), get(this.place.dataset.liveNodes, signal)]);
      const middle = (at) => ({ at: this.projection([at[0] / UDEG, at[1] / UDEG]), number: at[2] });
      this.#cells = { level: cells.level, points: cells.cells.map(middle) };
      this.#live = live.nodes.map(middle);
      this.place.dataset.nodes = cells.cells.reduce((sum, cell) => sum + cell[2], 0);
      this.#redraw();
    } catch (error) {
      if (error.name !== "AbortError") this.place.dataset.nodes = "";
    }
  }

  // What is in view, snapped outwards so that small moves ask for the same.
  async #cellsInView(signal) {
    const level = this.#level();
    const step = (COARSEST_DEG / 2 ** level) * SNAP_CELLS;
    const [west, south, east, north] = this.#bounds();
    const snapped = {
      west: clamp(Math.floor(west / step) * step, 180),
      south: clamp(Math.floor(south / step) * step, 90),
      east: clamp(Math.ceil(east / step) * step, 180),
      north: clamp(Math.ceil(north / step) * step, 90),
    };
    const query = new URLSearchParams({ level });
    for (const [edge, degrees] of Object.entries(snapped)) query.set(edge, Math.round(degrees * UDEG));
    const address = `${this.place.dataset.cells}?${query}`;
    if (!this.#kept.has(address)) {
      this.#kept.set(address, await get(address, signal));
      if (this.#kept.size > KEPT_MAX) this.#kept.delete(this.#kept.keys().next().value);
    }
    return this.#kept.get(address);
  }

  #level() {
    const pixelsPerDegree = (this.width * this.#view.k) / 360;
    return Math.max(0, Math.min(LEVEL_MAX, Math.floor(Math.log2((COARSEST_DEG * pixelsPerDegree) / CELL_PX))));
  }

  #bounds() {
    const { k, x, y } = this.#view;
    let [west, south, east, north] = [180, 90, -180, -90];
    for (let i = 0; i <= 8; i += 1) {
      for (let j = 0; j <= 8; j += 1) {
        const at = this.projection.invert([((i / 8) * this.width - x) / k, ((j / 8) * this.height - y) / k]);
        const [longitude, latitude] = [clamp(at[0], 180), clamp(at[1], 90)];
        west = Math.min(west, longitude);
        east = Math.max(east, longitude);
        south = Math.min(south, Number.isNaN(latitude) ? -90 : latitude);
        north = Math.max(north, Number.isNaN(latitude) ? 90 : latitude);
      }
    }
    return [west, south, east, north];
  }

  #measure() {
    const width = this.place.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    this.height = Math.round(Math.max(170, Math.min(width * 0.45, 540)));
    this.scale = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = this.width * this.scale;
    this.canvas.height = this.height * this.scale;
    this.canvas.style.height = `${this.height}px`;
    this.projection = d3.geoEqualEarth().rotate([-11, 0]).fitExtent([[2, 4], [this.width - 2, this.height]], SHOWN);
    const path = d3.geoPath(this.projection);
    this.coast = new Path2D(path(this.land));
    this.sphere = new Path2D(path({ type: "Sphere" }));
    this.#moved(1, 0, 0);
    this.paint();
    this.ask({});
  }

  #moved(k, x, y) {
    const close = Math.max(1, Math.min(CLOSEST, k));
    const inside = (offset, size) => Math.min(0, Math.max(size - size * close, offset));
    this.#view = { k: close, x: inside(x, this.width), y: inside(y, this.height) };
    this.canvas.classList.toggle("near", close > 1);
    this.#redraw();
  }

  #zoom(factor, [px, py] = [this.width / 2, this.height / 2]) {
    const { k, x, y } = this.#view;
    const close = Math.max(1, Math.min(CLOSEST, k * factor));
    this.#moved(close, px - ((px - x) * close) / k, py - ((py - y) * close) / k);
    this.#later(() => this.ask({}));
  }

  #pan(dx, dy) {
    const { k, x, y } = this.#view;
    this.#moved(k, x + dx, y + dy);
    this.#later(() => this.ask({}));
  }

  #later(act) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, SETTLE_MS);
  }

  #redraw() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    if (!this.colours || !this.coast) return;
    const { context, scale } = this;
    const { k, x, y } = this.#view;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.setTransform(scale * k, 0, 0, scale * k, scale * x, scale * y);
    context.fillStyle = this.colours.sea;
    context.fill(this.sphere);
    context.fillStyle = this.colours.land;
    context.fill(this.coast);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    this.#drawNodes();
    this.#drawLive();
    this.#drawPulses();
    this.place.dataset.drawn = "yes";
    if (this.#pulses.length) this.#redraw();
  }

  #drawNodes() {
    const { points } = this.#cells;
    const most = points.reduce((max, point) => Math.max(max, point.number), 1);
    const widest = Math.max(3, Math.min(14, ((this.width * this.#view.k) / 360) * (COARSEST_DEG / 2 ** this.#cells.level) * 0.55));
    const least = points.length > 400 ? 1.4 : 3.5;
    const { context } = this;
    context.fillStyle = this.colours.node;
    for (const point of points) {
      const [px, py] = this.#onScreen(point.at);
      point.radius = least + Math.max(0, widest - least) * (most > 1 ? Math.log(point.number) / Math.log(most) : 0);
      context.globalAlpha = 0.35 + (0.5 * Math.log(1 + point.number)) / Math.log(1 + most);
      circle(context, px, py, point.radius);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  #drawLive() {
    const { context } = this;
    for (const { at, number } of this.#live) {
      const [px, py] = this.#onScreen(at);
      context.fillStyle = this.colours.live;
      context.globalAlpha = 0.22;
      circle(context, px, py, 9 + 2 * Math.log2(number));
      context.fill();
      context.globalAlpha = 1;
      circle(context, px, py, 4);
      context.fill();
    }
  }

  #drawPulses() {
    const now = performance.now();
    this.#pulses = this.#pulses.filter((pulse) => now - pulse.bornMs < PULSE_MS);
    const { context } = this;
    context.lineWidth = 2;
    for (const pulse of this.#pulses) {
      const age = (now - pulse.bornMs) / PULSE_MS;
      const [px, py] = this.#onScreen(this.projection(pulse.at));
      context.strokeStyle = pulse.state === "ended" ? this.colours.wait : this.colours.live;
      context.globalAlpha = (1 - age) ** 1.5;
      circle(context, px, py, 4 + 26 * age);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  #onScreen([px, py]) {
    const { k, x, y } = this.#view;
    return [px * k + x, py * k + y];
  }

  #listen() {
    const { canvas, place } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    });
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#pointers.delete(event.pointerId));
    }
    canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    canvas.addEventListener("dblclick", (event) => this.#zoom(2, [event.offsetX, event.offsetY]));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    place.querySelector(".zooms").addEventListener("click", (event) => this.#button(event.target.closest("button")));
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return this.#hover(event);
    const here = [event.offsetX, event.offsetY];
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    if (others.length) {
      const [other] = others;
      const ratio = distance(here, other) / Math.max(1, distance(before, other));
      this.#zoom(ratio, [(here[0] + other[0]) / 2, (here[1] + other[1]) / 2]);
    } else {
      this.#pan(here[0] - before[0], here[1] - before[1]);
    }
    this.#pointers.set(event.pointerId, here);
    return undefined;
  }

  #hover(event) {
    const here = [event.offsetX, event.offsetY];
    const near = (points, within) => points.find((point) => distance(this.#onScreen(point.at), here) < within);
    const live = near(this.#live, 10);
    const found = near(this.#cells.points, 8);
    this.tip.hidden = !found && !live;
    if (this.tip.hidden) return;
    const { nodesHere, sessionsHere } = this.place.dataset;
    const texts = [found && counted(nodesHere, found.number), live && counted(sessionsHere, live.number)];
    this.tip.textContent = listed(texts.filter(Boolean));
    this.tip.style.translate = `${Math.min(here[0] + 14, this.width - 160)}px ${here[1] + 14}px`;
  }

  // Scrolling over the map scrolls the page until somebody means the map.
  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.canvas) return;
    event.preventDefault();
    this.#zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), [event.offsetX, event.offsetY]);
  }

  #key(event) {
    const step = 60;
    const acts = {
      ArrowLeft: () => this.#pan(step, 0),
      ArrowRight: () => this.#pan(-step, 0),
      ArrowUp: () => this.#pan(0, step),
      ArrowDown: () => this.#pan(0, -step),
      "+": () => this.#zoom(1.6),
      "=": () => this.#zoom(1.6),
      "-": () => this.#zoom(1 / 1.6),
      0: () => this.#zoom(1 / CLOSEST),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #button(button) {
    const factors = { in: 1.8, out: 1 / 1.8, all: 1 / CLOSEST };
    if (button) this.#zoom(factors[button.dataset.zoom]);
  }
}

async function get(address, signal) {
  const answer = await fetch(address, { signal });
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}

function clamp(value, limit) {
  return Math.max(-limit, Math.min(limit, value));
}

function distance([ax, ay], [bx, by]) {
  return Math.hypot(ax - bx, ay - by);
}
