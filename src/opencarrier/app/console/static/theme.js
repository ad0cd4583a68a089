// Light or dark by choice; without one the device decides. The server draws what the cookie says.
const YEAR_S = 31536000;

export function offerThemes(button) {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=${YEAR_S}; samesite=lax`;
    document.dispatchEvent(new CustomEvent("theme"));
  });
  prefersDark.addEventListener("change", () => document.dispatchEvent(new CustomEvent("theme")));
}
