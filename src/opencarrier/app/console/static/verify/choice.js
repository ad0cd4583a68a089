// Choosing again of whom could serve a session, by the rule of docs/reference/routing.md.
import { ordered } from "./canonical.js";
import { Broken } from "./form.js";
import { INT64_MAX } from "./terms.js";

const CANDIDATES_MAX = 16;
const PLACE_MAX = 64;

const check = (holds, detail) => {
  if (!holds) throw new Broken("choice", detail);
};
const isText = (value) => typeof value === "string";
const isAmount = (value) => typeof value === "bigint" && value >= 0n && value <= INT64_MAX;

/** Say whom the session took and who was the best; null where it was not chosen from several. */
export function checkChoice(usage) {
  if (!usage?.has("choice")) return null;
  const { taken, demand, candidates } = read(usage.get("choice"));
  check(taken === usage.get("visited"), "another than the visited operator was taken");
  const chosen = candidates.find((item) => item.seller === taken);
  const might = chosen.currency !== demand.currency
    || (chosen.price >= chosen.floor && chosen.price <= demand.ceiling);
  check(might, "who was taken might not have served");
  const order = candidates.filter((item) => serves(item, demand)).sort(better);
  return { taken, best: order[0]?.seller ?? null, of: candidates.length };
}

function read(content) {
  const known = ["place", "taken", "demand", "candidates", "refusals"];
  check(content instanceof Map && content.size === 5 && known.every((k) => content.has(k)), "out of form");
  const [place, taken, demand, candidates, refusals] = known.map((key) => content.get(key));
  check(isText(place) && place.length > 0 && [...place].length <= PLACE_MAX && isText(taken), "out of form");
  check(isAmount(refusals) && Array.isArray(candidates), "out of form");
  check(candidates.length <= CANDIDATES_MAX, "out of form");
  const found = candidates.map(readCandidate);
  const sellers = found.map((item) => item.seller);
  const ascend = sellers.every((seller, i) => !i || ordered(sellers[i - 1], seller) < 0);
  check(ascend && sellers.includes(taken), "out of form");
  return { taken, demand: readDemand(demand), candidates: found };
}

function readDemand(fields) {
  check(Array.isArray(fields) && fields.length === 4, "the demand is out of form");
  const [currency, ceiling, quality, margin] = fields;
  const isForm = isText(currency) && [ceiling, quality, margin].every(isAmount);
  check(isForm, "the demand is out of form");
  return { currency, ceiling, quality };
}

function readCandidate(fields) {
  check(Array.isArray(fields) && fields.length === 6, "a candidate is out of form");
  const [seller, advert, currency, price, quality, floor] = fields;
  const isForm = isText(seller) && advert instanceof Uint8Array && isText(currency)
    && [price, quality, floor].every(isAmount);
  check(isForm, "a candidate is out of form");
  return { seller, currency, price, quality, floor };
}

const serves = (item, demand) => item.currency === demand.currency && item.price >= item.floor
  && item.price <= demand.ceiling && item.quality >= (demand.quality > 1n ? demand.quality : 1n);

/** Order by price for a faultless octet, then quality, price, seller. */
function better(a, b) {
  const differences = [
    a.price * b.quality - b.price * a.quality, b.quality - a.quality, a.price - b.price,
  ];
  const first = differences.find((difference) => difference !== 0n);
  if (first !== undefined) return first < 0n ? -1 : 1;
  return ordered(a.seller, b.seller);
}
