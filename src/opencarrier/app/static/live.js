// Keeps the page live: asks for its own main part again each second and swaps it in.
"use strict";
const main = document.querySelector("main");
async function refresh() {
  try {
    const answer = await fetch("/live", { headers: { accept: "text/html" } });
    if (answer.ok) main.innerHTML = await answer.text();
    document.title = answer.ok ? "opencarrier" : "opencarrier (not ready)";
  } catch {
    document.title = "opencarrier (stopped)";
  }
}
setInterval(refresh, 1000);
