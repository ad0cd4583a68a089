// What a period comes to under a deal, from its sums alone, with the roundings of
// docs/reference/agreement.md. Legs are [seller, host, protocol, tax]; all numbers are BigInt.
import { INT64_MAX, PPM, check } from "./terms.js";

const MILLI = 1_000n;
const TAX = 3;
const NONE = [0n, 0n, 0n, 0n];

const halfUp = (a, b) => (a + b / 2n) / b;
const smaller = (a, b) => (a < b ? a : b);
const total = (numbers) => numbers.reduce((sum, number) => sum + number, 0n);
const plus = (a, b) => a.map((leg, i) => leg + b[i]);
const minus = (a, b) => a.map((leg, i) => leg - b[i]);
const untaxed = (legs) => total(legs) - legs[TAX];

// plans: a period's totals in, one amount out

const rounded = (nanoSteps, step) => halfUp(nanoSteps, step * MILLI);

const cost = (tier, amount, step) =>
  tier.fixed_minor * MILLI * step + amount * tier.price_nano;

/** Return how much of an amount lies in each tier that it goes beyond the start of. */
const partsOf = (amount, tiers) => tiers
  .map(({ start }, i) => [start, smaller(amount, tiers[i + 1]?.start ?? amount)])
  .filter(([start]) => amount > start)
  .map(([start, end]) => end - start);

function backToFirst({ step, tiers }, { amount }) {
  const reached = tiers.findLast(({ start }) => amount > start);
  return reached ? rounded(cost(reached, amount, step), step) : 0n;
}

function tiered({ step, tiers }, { amount }) {
  const costs = partsOf(amount, tiers).map((part, i) => cost(tiers[i], part, step));
  return rounded(total(costs), step);
}

function balanced(plan, { amount, reverse }) {
  const alike = smaller(amount, reverse);
  const nano = alike * plan.balanced_price_nano + (amount - alike) * plan.unbalanced_price_nano;
  return rounded(nano, plan.step);
}

function discounted({ whole, tiers }, { charged }) {
  const parts = partsOf(charged, tiers);
  const last = tiers[parts.length - 1];
  const off = whole && last ? charged * last.discount_ppm
    : total(parts.map((part, i) => part * tiers[i].discount_ppm));
  return charged - halfUp(off, PPM);
}

const PLANS = {
  not_charged: () => 0n,
  flat: (plan) => plan.fixed_minor,
  linear: (plan, { amount }) => rounded(amount * plan.price_nano, plan.step),
  back_to_first: backToFirst, tiered, balanced, discounted,
};

// what a deal makes of a period

const amountOf = (sums, names) => total(names.map((name) => sums.lines.get(name)?.amount ?? 0n));

const chargesOf = (sums, names) =>
  names.map((name) => sums.lines.get(name)?.legs ?? NONE).reduce(plus, NONE);

/** Return what the records were charged whose charges a deal takes the place of. */
const charged = (deal, sums) => chargesOf(sums, deal.pricings
  .filter(({ measure }) => measure === "usage").flatMap(({ lines }) => lines));

function fallen(price, tax, host, protocolPpm) {
  const protocol = (price * protocolPpm) / PPM;
  return [price - host - protocol, host, protocol, tax];
}

function taxed(price, taxPpm, isIncluded, host, protocolPpm) {
  const tax = halfUp(price * taxPpm, isIncluded ? PPM + taxPpm : PPM);
  return fallen(isIncluded ? price - tax : price, tax, host, protocolPpm);
}

/** Scale charges to a discounted sum. */
function scaled(charges, price) {
  const before = untaxed(charges);
  if (before === 0n) return charges;
  const [, host, protocol, tax] = charges;
  const scaledProtocol = (protocol * price) / before;
  return [price - host - scaledProtocol, host, scaledProtocol, halfUp(tax * price, before)];
}

function priced(pricing, protocolPpm, sums, subscribers) {
  const { plan, tax_ppm: taxPpm, tax_included: isIncluded } = pricing;
  const isOfUse = pricing.measure === "usage";
  const charges = isOfUse ? chargesOf(sums, pricing.lines) : NONE;
  const price = PLANS[plan.kind](plan, {
    amount: isOfUse ? amountOf(sums, pricing.lines) : subscribers,
    reverse: isOfUse ? amountOf(sums, pricing.reverse_lines) : 0n,
    charged: untaxed(charges),
  });
  if (isOfUse && plan.kind === "discounted") return scaled(charges, price);
  return taxed(price, taxPpm, isIncluded, charges[1], protocolPpm);
}

/** Return what counts towards a commitment: the records' charges, or what the plans make. */
function counted(deal, sums, legsOf) {
  const { basis, with_tax: isWithTax } = deal.commitment;
  const counting = deal.pricings.map((pricing, i) => [pricing, legsOf[i]])
    .filter(([pricing]) => pricing.in_commitment);
  const names = new Set(counting.flatMap(([pricing]) => pricing.lines));
  const legs = basis === "contract" ? chargesOf(sums, [...names])
    : counting.map(([, item]) => item).reduce(plus, NONE);
  return isWithTax ? total(legs) : untaxed(legs);
}

/** Return what a period comes to under a deal; an open period's commitment is taken to be met. */
function owed(deal, protocolPpm, sums, isFinal) {
  const legsOf = deal.pricings.map((item, i) =>
    priced(item, protocolPpm, sums, sums.subscribers[i]));
  const rated = legsOf.reduce(plus, NONE);
  const { commitment } = deal;
  if (!isFinal || !commitment) return rated;
  const missing = commitment.amount_minor - counted(deal, sums, legsOf);
  if (missing <= 0n || commitment.shortfall === "none") return rated;
  if (commitment.shortfall === "no_deal") return charged(deal, sums);
  return plus(rated, taxed(missing, commitment.tax_ppm, commitment.with_tax, 0n, protocolPpm));
}

const checkLegs = (legs) => check(
  legs.every((leg) => -INT64_MAX <= leg && leg <= INT64_MAX), "a leg is beyond 64 bits");

/** Return what an adjustment moves: what is owed, less what was charged and what is booked. */
export function adjusted({ deal, head, sums, booked, isFinal }) {
  const due = owed(deal, head.protocol_ppm, sums, isFinal);
  const legs = minus(minus(due, charged(deal, sums)), booked);
  checkLegs(legs);
  return legs;
}

/** Bring legs to the asset: the whole rounded half up, away from zero; largest remainders first. */
export function exchanged(legs, { rate, decimals }) {
  const scale = 10n ** decimals;
  const exact = legs.map((leg) => leg * rate);
  const sum = total(exact);
  const whole = sum < 0n ? -halfUp(-sum, scale) : halfUp(sum, scale);
  const rest = exact.map((leg) => ((leg % scale) + scale) % scale);
  const found = exact.map((leg, i) => (leg - rest[i]) / scale);
  const order = rest.map((_, i) => i)
    .sort((a, b) => (rest[a] === rest[b] ? a - b : rest[a] < rest[b] ? 1 : -1));
  for (const at of order.slice(0, Number(whole - total(found)))) found[at] += 1n;
  checkLegs(found);
  return found;
}
