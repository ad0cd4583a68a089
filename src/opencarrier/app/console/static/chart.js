// A line of use over time, drawn from its table: the table is the truth, this is its picture.
import { lang } from "./words.js";

const HEIGHT = 180;

// Access points report every five minutes: the newest rows are not whole yet, and would look like a fall.
const NOT_WHOLE_YET = 2;

export class FlowChart {
  #plot = null;

  constructor(place, tableId) {
    this.place = place;
    this.tableId = tableId;
    place.hidden = false;
    new ResizeObserver(() => this.#plot?.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
    this.draw({});
  }

  draw({ anew = false }) {
    const data = this.#data();
    if (!data[0].length) return;
    if (anew || !this.#plot) {
      this.#plot?.destroy();
      this.#plot = new uPlot(this.#options(), data, this.place);
    } else {
      this.#plot.setData(data);
    }
  }

  #data() {
    const table = document.getElementById(this.tableId);
    const rows = [...table.querySelectorAll("tbody tr")].slice(0, -NOT_WHOLE_YET);
    const bits = (8 / Number(table.dataset.bucketS)) * 1e-6;
    return [rows.map((row) => Number(row.dataset.atS)), rows.map((row) => Number(row.dataset.octets) * bits)];
  }

  #options() {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => resolved(this.place, css.getPropertyValue(name));
    const quiet = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const number = new Intl.NumberFormat(lang, { maximumSignificantDigits: 3 });
    const hour = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC" });
    const unit = document.getElementById(this.tableId).dataset.unit;
    return {
      width: this.place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { size: 8 } },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.15 : 1] } },
      axes: [
        { ...quiet, grid: { show: false }, values: (_, ticks) => ticks.map((at) => hour.format(at * 1000)), space: 64 },
        { ...quiet, values: (_, ticks) => ticks.map((value, i) => (i === ticks.length - 1 ? `\u2068${number.format(value)} ${unit}\u2069` : number.format(value))), size: 76, space: 40 },
      ],
      series: [{}, { stroke: colour("--accent-strong"), width: 2, fill: colour("--accent-wash"), points: { show: false } }],
    };
  }
}

// A canvas knows no `light-dark()`: let an element say what it comes to.
export function resolved(place, colour) {
  const probe = document.createElement("span");
  probe.style.color = colour;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
