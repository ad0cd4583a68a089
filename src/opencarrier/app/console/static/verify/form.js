// A receipt's text to values and back: JSON with one spelling, whole numbers as BigInt, octets as
// Uint8Array, objects as Map. The form is that of docs/reference/receipt.md.

export const OCTETS_MAX = 1 << 20;
export const BRACKETS_MAX = 4096;
const DEPTH_MAX = 16;
const DIGITS_MAX = 4300;
const MARK = "text:";

/** What is wrong with a receipt, by the step that broke. */
export class Broken extends Error {
  constructor(reason, detail) {
    super(detail);
    this.reason = reason;
  }
}

const wrong = (detail) => new Broken("form", detail);

/** Read a document; it is refused unless its text is exactly how it is spelt. */
export function read(text) {
  if (text.length > OCTETS_MAX) throw wrong(`more than ${OCTETS_MAX} octets`);
  if ((text.match(/[[{]/g) ?? []).length > BRACKETS_MAX) throw wrong("too many opening brackets");
  const document = new Reader(text).whole();
  if (!(document instanceof Map) || write(document) + "\n" !== text) {
    throw wrong("the text is not in its one spelling; it was changed");
  }
  return document;
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  whole() {
    const value = this.value();
    this.blank();
    if (this.at !== this.text.length) throw wrong("not JSON: something follows the document");
    return value;
  }

  value() {
    this.blank();
    const first = this.text[this.at];
    if (first === "{") return this.object();
    if (first === "[") return this.list();
    if (first === '"') return this.string();
    return this.plain();
  }

  blank() {
    while (" \n\r\t".includes(this.text[this.at] ?? "x")) this.at += 1;
  }

  takes(sign) {
    this.blank();
    if (this.text[this.at] !== sign) return false;
    this.at += 1;
    return true;
  }

  needs(sign) {
    if (!this.takes(sign)) throw wrong(`not JSON: ${sign} is missing at ${this.at}`);
  }

  object() {
    const found = new Map();
    this.needs("{");
    if (this.takes("}")) return found;
    do {
      this.blank();
      const key = this.string();
      this.needs(":");
      found.set(key, this.value());
    } while (this.takes(","));
    this.needs("}");
    return found;
  }

  list() {
    const found = [];
    this.needs("[");
    if (this.takes("]")) return found;
    do found.push(this.value());
    while (this.takes(","));
    this.needs("]");
    return found;
  }

  string() {
    return JSON.parse(this.matched(
      /"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"/y));
  }

  plain() {
    const word = this.matched(/true|false|null|-?(?:0|[1-9][0-9]*)(?![.eE0-9])/y);
    if (word === "null") return null;
    if (word === "true" || word === "false") return word === "true";
    if (word.replace("-", "").length > DIGITS_MAX) throw wrong("a number is too long");
    return BigInt(word);
  }

  matched(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) throw wrong(`not JSON that a receipt may hold, at ${this.at}`);
    this.at = pattern.lastIndex;
    return found[0];
  }
}

const byCodePoint = ([a], [b]) => {
  const left = [...a], right = [...b];
  for (let i = 0; i < left.length && i < right.length; i += 1) {
    const less = left[i].codePointAt(0) - right[i].codePointAt(0);
    if (less) return less;
  }
  return left.length - right.length;
};

/** Write a value as the one spelling has it: sorted keys, one space of indent, ASCII. */
function write(value, indent = "\n") {
  if (typeof value === "string") return quoted(value);
  if (value === null || typeof value !== "object") return String(value);
  const inner = indent + " ";
  const entries = value instanceof Map
    ? [...value].sort(byCodePoint).map(([key, item]) => `${quoted(key)}: ${write(item, inner)}`)
    : value.map((item) => write(item, inner));
  const [open, close] = value instanceof Map ? "{}" : "[]";
  return entries.length ? open + inner + entries.join("," + inner) + indent + close : open + close;
}

const quoted = (text) =>
  JSON.stringify(text).replace(/[\x7f-\uffff]/g, (sign) =>
    "\\u" + sign.charCodeAt(0).toString(16).padStart(4, "0"));

/** Map JSON back to what was hashed: hex to octets, marked texts to texts. */
export function value(json, depth = 0) {
  if (depth > DEPTH_MAX) throw wrong(`nested deeper than ${DEPTH_MAX}`);
  if (typeof json === "string") return textOrOctets(json);
  if (Array.isArray(json)) return json.map((item) => value(item, depth + 1));
  if (!(json instanceof Map)) return json;
  return new Map([...json].map(([key, item]) => [key, value(item, depth + 1)]));
}

function textOrOctets(text) {
  if (text.startsWith(MARK)) return text.slice(MARK.length);
  return text.startsWith("0x") ? octetsOf(text) : text;
}

/** Read 0x and pairs of lower-case hex digits. */
export function octetsOf(text) {
  if (!/^0x(?:[0-9a-f]{2})*$/.test(text)) throw wrong("not lower-case hex digits in pairs");
  return Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export const hex = (octets) =>
  "0x" + Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");

/** Return an object with exactly the known keys. */
export function keys(json, known, where) {
  if (!(json instanceof Map)) throw wrong(`${where} is not an object`);
  const odd = [...json.keys()].find((key) => !known.includes(key))
    ?? known.find((key) => !json.has(key));
  if (odd !== undefined) throw wrong(`${where} has an unknown or a missing key: ${odd}`);
  return Object.fromEntries(json);
}

/** Return so many octets. */
export function octets(json, size, where) {
  const found = typeof json === "string" ? textOrOctets(json) : json;
  if (!(found instanceof Uint8Array) || found.length !== size) {
    throw wrong(`${where} is not ${size} octets in hex`);
  }
  return found;
}

/** Return a whole number that is not negative. */
export function number(json, where) {
  if (typeof json !== "bigint" || json < 0n) throw wrong(`${where} is not a whole number`);
  return json;
}

/** Return a text. */
export function words(json, where) {
  const found = typeof json === "string" ? textOrOctets(json) : json;
  if (typeof found !== "string") throw wrong(`${where} is not a text`);
  return found;
}
