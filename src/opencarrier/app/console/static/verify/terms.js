// The terms that charges and adjustments are made from: what each field may be, since a
// receipt may be anybody's. All numbers are BigInt.
import { compared } from "./canonical.js";
import { Broken } from "./form.js";

export const PPM = 1_000_000n;
export const INT64_MAX = (1n << 63n) - 1n;
export const CHARGE_MAX_MINOR = 9_200_000_000_000n;
export const WHOLESALE = 1n;
export const RETAIL = 2n;
const UNITS = ["octets_total", "octets_in", "octets_out", "duration_s", "sessions"];
const SERVICES = ["wifi", "data", "voice", "message", "event", "iot"];
const QOS = ["none", "bronze", "silver", "gold"];

const wrong = (detail) => new Broken("rating", detail);

// what a field may be

export const whole = (least, most) => (value) =>
  typeof value === "bigint" && least <= value && value <= most;
const matching = (pattern) => (value) => typeof value === "string" && pattern.test(value);
export const oneOf = (words) => (value) => words.includes(value);
export const isBoolean = (value) => typeof value === "boolean";
export const isParty = (value) =>
  matching(/^[a-z0-9]+(?:[_-][a-z0-9]+)*$/)(value) && value.length <= 80;
const isAddress = matching(/^0x[0-9a-f]{40}$/);
const isAsset = matching(/^[!-~]{1,160}$/);
export const isCurrency = matching(/^[A-Z]{3}$/);
export const isName = matching(/^[a-z0-9][a-z0-9._-]{0,63}$/);
const isHash = (value) => value instanceof Uint8Array && value.length === 32;
export const isListOf = (is, least, most) => (value) =>
  Array.isArray(value) && least <= value.length && value.length <= most && value.every(is);
const isCounters = isListOf(whole(0n, INT64_MAX), 3, 3);
export const isAnything = () => true;
const areEnds = (value) => isListOf(instant, 2, 121)(value)
  && value.every((end, i) => !i || value[i - 1] < end);
const areWordsOf = (known) => (value) =>
  isListOf(oneOf(known), 1, known.length)(value)
  && value.every((item, i) => !i || known.indexOf(value[i - 1]) < known.indexOf(item));

export const ppm = whole(0n, PPM);
export const instant = whole(0n, INT64_MAX);
export const step = whole(1n, 1n << 32n);
export const sum = whole(0n, 1n << 100n);
const booked = whole(-(1n << 100n), 1n << 100n);
const minor = whole(0n, CHARGE_MAX_MINOR - 1n);
const WINDOW = { valid_from_us: instant, valid_until_us: instant };
export const PRICE = {
  ...WINDOW, unit: oneOf(UNITS), step, price_nano: instant,
  minimum_minor: minor, tax_ppm: ppm, tax_included: isBoolean,
};
export const TARIFF = { ...PRICE, host_ppm: ppm };
export const AGREEMENT = {
  home: isParty, home_address: isAddress, visited: isParty, visited_address: isAddress,
  asset: isAsset, protocol_party: isParty, protocol_ppm: ppm, tax_party: isParty,
};
export const PLAN = {
  plan_id: isName, home: isParty, asset: isAsset, price: isAnything,
  rate_cap_octets_per_s: whole(1n, 1n << 40n), session_s_max: whole(60n, 604_800n),
  interim_s: whole(60n, 604_800n),
};
const COUNTERS = { counters_from: isCounters, counters_to: isCounters };
export const WHOLESALE_1 = {
  kind: oneOf([WHOLESALE]), agreement: isAnything, tariff_hashes: isListOf(isHash, 1, 1_000),
  tariff: isAnything, tariff_at_us: instant, host: isParty, ...COUNTERS,
};
export const RETAIL_1 = {
  kind: oneOf([RETAIL]), plan: isAnything, plan_at_us: instant, subscriber: isParty,
  discount_ppm: ppm, ...COUNTERS,
};
const HASHES = {
  line_hashes: isListOf(isHash, 0, 1_000), rate_hashes: isListOf(isHash, 0, 400),
  deal_hashes: isListOf(isHash, 0, 100),
};
export const HEAD = {
  parties: isListOf((value) => value instanceof Map, 1, 2), asset: isAsset, currency: isCurrency,
  protocol_party: isParty, protocol_ppm: ppm, periods_us: areEnds,
};
export const SIGNATORY = { party: isParty, address: isAddress, tax_party: isParty };
const SHARED_2 = {
  kind: isAnything, offered: isAnything, tariff_at_us: instant, host: isParty, ...COUNTERS,
};
export const LINE_2 = {
  ...SHARED_2, head: isAnything, ...HASHES, line: isAnything, exchange: isAnything,
};
export const FREE_2 = { ...SHARED_2, home: isParty, visited: isParty, asset: isAsset };
export const OFFERED = {
  service: oneOf(SERVICES), qos: oneOf(QOS),
  rcoi: oneOf(["none", "settled", "settlement_free", "own"]), quote: isAnything,
};
export const LINE = {
  line: isName, home: isParty, visited: isParty, ...WINDOW, services: areWordsOf(SERVICES),
  qos: areWordsOf(QOS), rcoi: areWordsOf(["none", "settled", "own"]),
  unit: oneOf([...UNITS, "units"]), first_step: whole(1n, 1n << 32n),
  next_step: step, price_nano: instant, fixed_minor: minor, minimum_minor: minor,
  currency: isCurrency, tax_ppm: ppm, tax_included: isBoolean, host_ppm: ppm, in_band: isBoolean,
};
export const RATE = {
  currency: isCurrency, ...WINDOW, rate: whole(1n, 10n ** 15n), decimals: whole(0n, 12n),
};

export const ADJUSTMENT = {
  head: isAnything, ...HASHES, deal: isAnything, start_us: instant, end_us: instant,
  number: whole(0n, 1n << 20n), is_final: isBoolean,
  lines: isListOf(isListOf(isAnything, 6, 6), 0, 1_000), subscribers: Array.isArray,
  booked: isListOf(booked, 4, 4),
};

/** Return a mapping's fields where it has exactly those known, each as it must be. */
export function fields(map, known, where) {
  if (!(map instanceof Map) || map.size !== Object.keys(known).length) {
    throw wrong(`${where} has an unknown or a missing key`);
  }
  for (const [name, is] of Object.entries(known)) {
    if (!map.has(name) || !is(map.get(name))) throw wrong(`${where}.${name} is out of form`);
  }
  return Object.fromEntries(map);
}

/** Break the step of rating where something does not hold. */
export function check(holds, detail) {
  if (!holds) throw wrong(detail);
}

/** Say whether a hash is one of some. */
export const among = (hashes, hash) => hashes.some((item) => compared(item, hash) === 0);

/** Say whether terms are in force at an instant. */
export const holds = (terms, at) => terms.valid_from_us <= at && at < terms.valid_until_us;
