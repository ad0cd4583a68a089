// The terms of a deal, and of the plans on what a whole period came to (docs/reference/agreement.md):
// what each field may be, since a receipt may be anybody's. All numbers are BigInt.
import {
  check, fields, instant, isAnything, isBoolean, isCurrency, isListOf, isName, isParty, oneOf, ppm,
  step, whole,
} from "./terms.js";

const TIERS_MAX = 32;
const fixed = whole(0n, 10n ** 18n);
const areTiers = isListOf(isAnything, 1, TIERS_MAX);
const TIER = { start: instant, fixed_minor: fixed, price_nano: instant };
const DISCOUNT_TIER = { start_minor: instant, discount_ppm: ppm };
const PLANS = {
  not_charged: {},
  flat: { fixed_minor: fixed },
  linear: { step, price_nano: instant },
  back_to_first: { step, tiers: areTiers },
  tiered: { step, tiers: areTiers },
  balanced: { step, balanced_price_nano: instant, unbalanced_price_nano: instant },
  discounted: { whole: isBoolean, tiers: areTiers },
};
const COMMITMENT = {
  basis: oneOf(["contract", "deal"]), amount_minor: fixed, with_tax: isBoolean,
  shortfall: oneOf(["none", "no_deal", "send_or_pay"]), tax_ppm: ppm,
};
const PRICING = {
  lines: isListOf(isName, 1, 1_000), reverse_lines: isListOf(isName, 0, 1_000),
  measure: oneOf(["usage", "subscribers"]), plan: isAnything, tax_ppm: ppm,
  tax_included: isBoolean, in_commitment: isBoolean,
};
const DEAL = {
  deal: isName, home: isParty, visited: isParty, per: oneOf(["period", "term"]),
  currency: isCurrency, commitment: isAnything, pricings: isListOf(isAnything, 1, 100),
};

/** Read the terms of a deal. */
export function readDeal(map) {
  const read = fields(map, DEAL, "deal");
  const commitment = read.commitment && fields(read.commitment, COMMITMENT, "commitment");
  check(read.commitment === null || commitment, "the commitment is out of form");
  return { ...read, commitment, pricings: read.pricings.map(readPricing) };
}

function readPricing(map) {
  const read = fields(map, PRICING, "a pricing");
  return { ...read, plan: readPlan(read.plan) };
}

function readPlan(map) {
  const kind = map instanceof Map ? map.get("kind") : null;
  check(typeof kind === "string" && Object.hasOwn(PLANS, kind), "the plan is of no known kind");
  const read = fields(map, { kind: isAnything, ...PLANS[kind] }, "plan");
  return read.tiers ? { ...read, tiers: readTiers(read.tiers, kind) } : read;
}

/** Read tiers, each of which begins beyond the one before, and name where it begins `start`. */
function readTiers(tiers, kind) {
  const isDiscount = kind === "discounted";
  const form = isDiscount ? DISCOUNT_TIER : TIER;
  const read = tiers.map((tier) => fields(tier, form, "a tier"));
  const found = isDiscount ? read.map((tier) => ({ ...tier, start: tier.start_minor })) : read;
  check(found.every(({ start }, i) => !i || found[i - 1].start < start), "tiers do not ascend");
  return found;
}
