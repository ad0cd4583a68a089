// The network page: its map, its chart, its countdown.
import { countDown } from "./countdown.js";
import { FlowChart } from "./chart.js";
import { WorldMap } from "./map.js";

const map = new WorldMap(document.getElementById("map"));
const chart = new FlowChart(document.getElementById("chart"), "flows");
countDown();

document.body.addEventListener("live-session", ({ detail }) => map.pulse(detail));
for (const name of ["live-node", "live-reset", "live-back"]) {
  document.body.addEventListener(name, () => map.ask({ anew: true }));
}
document.addEventListener("theme", () => {
  map.paint();
  chart.draw({ anew: true });
});
document.body.addEventListener("htmx:after:swap", () => chart.draw({}));
