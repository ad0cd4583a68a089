// The pages of the API: a list that narrows as one types, and an answer asked for as whoever looks.
const search = document.querySelector("#search");
const attempt = document.querySelector("#attempt");

function narrow(words) {
  for (const group of document.querySelectorAll("[data-group]")) {
    let shown = 0;
    for (const line of group.querySelectorAll("li")) {
      const text = line.textContent.toLowerCase();
      line.hidden = !words.every((word) => text.includes(word));
      shown += !line.hidden;
    }
    group.hidden = !shown;
  }
  document.querySelector("#none").hidden = Boolean(document.querySelector("[data-group]:not([hidden])"));
}

function address(form) {
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const input of form.querySelectorAll("input")) {
    if (input.dataset.where === "path") {
      path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    } else if (input.value) query.append(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function ask(form, shown) {
  const wanted = address(form);
  const answer = await fetch(wanted, { headers: { Accept: "application/json" } });
  const text = await answer.text();
  const isJson = (answer.headers.get("content-type") ?? "").includes("json");
  document.querySelector("#asked").textContent = `${answer.status} ${wanted}`;
  shown.textContent = isJson ? JSON.stringify(JSON.parse(text), null, 2) : text;
  document.querySelector("#answered").hidden = false;
}

if (search) {
  search.closest(".field").hidden = false;
  search.addEventListener("input", () => narrow(search.value.toLowerCase().split(/\s+/).filter(Boolean)));
}

if (attempt) {
  attempt.hidden = false;
  const form = attempt.querySelector("form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const shown = document.querySelector("#answer");
    try {
      await ask(form, shown);
    } catch {
      document.querySelector("#asked").textContent = attempt.dataset.lost;
      shown.textContent = "";
      document.querySelector("#answered").hidden = false;
    }
  });
}
