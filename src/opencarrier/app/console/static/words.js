// Words and figures of scripts, in the language of the page: its texts come in data attributes.
export const lang = document.documentElement.lang;
const rules = new Intl.PluralRules(lang);
const whole = new Intl.NumberFormat(lang);
const clockPart = new Intl.NumberFormat(lang, { minimumIntegerDigits: 2, useGrouping: false });

// A text in the plural form that a number needs, out of what `forms(one, many)` wrote.
export function counted(forms, number) {
  const texts = JSON.parse(forms);
  return (texts[rules.select(number)] ?? texts.other).replace("%(num)s", whole.format(number));
}

// Several texts as this language lists them.
export function listed(texts) {
  return new Intl.ListFormat(lang, { type: "unit" }).format(texts);
}

// Hours, minutes and seconds as a clock shows them, without leading hours of none.
export function clock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const [hours, ...rest] = parts;
  const shown = rest.map((part) => clockPart.format(part)).join(":");
  return hours ? `${whole.format(hours)}:${shown}` : shown;
}
