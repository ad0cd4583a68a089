// Counts down to an instant of the server's clock; stands still while the line is lost.
import { clock } from "./words.js";

const SECOND_MS = 1000;

export function countDown() {
  let now = null;
  const tick = () => {
    if (document.documentElement.classList.contains("stale")) return;
    for (const time of document.querySelectorAll("time.countdown")) {
      const { untilUs, nowUs } = time.dataset;
      if (now?.us !== nowUs) now = { us: nowUs, atMs: Date.now() };
      const passedS = (Date.now() - now.atMs) / SECOND_MS;
      time.textContent = clock(Math.max(0, (Number(untilUs) - Number(nowUs)) / 1e6 - passedS));
    }
  };
  tick();
  setInterval(tick, SECOND_MS);
}
