// Rating again from what a charge says it was rated from: rule versions 1 and 2
// (docs/reference/receipt.md, section 4). All numbers are BigInt.
import { derive } from "./canonical.js";
import * as forms from "./terms.js";
import {
  CHARGE_MAX_MINOR, INT64_MAX, PPM, RETAIL, WHOLESALE, among, check, fields, holds,
} from "./terms.js";

const NANO = 1_000_000_000n;
const KIB = 1_024n;
const QUANTITY_MAX = 1n << 62n;
const [SELLER, HOST, PROTOCOL, TAX] = [1n, 2n, 3n, 4n];

const ceiling = (a, b) => (a + b - 1n) / b;
const halfUp = (a, b) => (a + b / 2n) / b;
const largest = (a, b) => (a > b ? a : b);

function quantity(unit, [seconds, octetsIn, octetsOut]) {
  const used = seconds || octetsIn || octetsOut;
  return {
    octets_total: octetsIn + octetsOut, octets_in: octetsIn, octets_out: octetsOut,
    duration_s: seconds, sessions: used ? 1n : 0n, units: 0n,
  }[unit];
}

/** Return a quantity's price, with the guards of the formula; `fixed` is an amount per session. */
function priced(grossNano, amount, minimum, fixed = 0n, discount = 0n) {
  const keep = PPM - discount;
  const net = fixed + (grossNano / NANO) * keep + halfUp((grossNano % NANO) * keep, NANO);
  check(
    amount <= QUANTITY_MAX && grossNano <= INT64_MAX && net < CHARGE_MAX_MINOR,
    "the quantity is beyond the guards of the formula",
  );
  return amount ? largest(minimum, net) : 0n;
}

const taxOf = (terms, price) =>
  halfUp(price * terms.tax_ppm, terms.tax_included ? PPM + terms.tax_ppm : PPM);

/** Say how a price falls to seller, host, protocol and tax. */
function fall(price, terms, protocolPpm) {
  const tax = taxOf(terms, price);
  const untaxed = terms.tax_included ? price - tax : price;
  const host = (untaxed * terms.host_ppm) / PPM;
  const left = PPM - terms.host_ppm;
  const protocol = left ? ((untaxed - host) * protocolPpm) / left : 0n;
  return [untaxed - host - protocol, host, protocol, tax];
}

/** Make a charge of legs that were reckoned before and after a use. */
function charge(kind, before, after, receivers, rest) {
  const legs = after.map((leg, i) => leg - before[i]);
  const allocations = receivers
    .map(([role, party, account], i) => [role, party, `${account}/${party}`, legs[i]])
    .filter((leg) => leg[3] !== 0n);
  const amount = allocations.reduce((sum, leg) => sum + leg[3], 0n);
  return { kind, discountMinor: 0n, ...rest, amountMinor: amount, allocations };
}

const between = (visited, host, protocol, tax) => [
  [SELLER, visited, "clearing"], [HOST, host, "accrued"],
  [PROTOCOL, protocol, "clearing"], [TAX, tax, "clearing"],
];

/** Rate again by the rules of a charge's time. */
export function rerate(version, inputs) {
  if (version === "rating/v2") return byLine(inputs);
  check(version === "rating/v1", `${version} is no rule version known here`);
  const kind = inputs instanceof Map ? inputs.get("kind") : null;
  check(kind === WHOLESALE || kind === RETAIL, "neither wholesale nor retail inputs");
  return kind === WHOLESALE ? byTariff(inputs) : byPlan(inputs);
}

const rising = ({ counters_from: from, counters_to: to }) =>
  check(from.every((item, i) => item <= to[i]), "counters fall");

function byTariff(inputs) {
  const read = fields(inputs, forms.WHOLESALE_1, "inputs");
  const tariff = fields(read.tariff, forms.TARIFF, "tariff");
  const head = fields(read.agreement, forms.AGREEMENT, "agreement");
  const tariffHash = derive("tariff", read.tariff);
  check(among(read.tariff_hashes, tariffHash), "the tariff is not the agreement's");
  check(holds(tariff, read.tariff_at_us), "the tariff was not in force");
  check(tariff.host_ppm + head.protocol_ppm <= PPM, "host and protocol take more than the whole");
  rising(read);
  const legs = (counters) => {
    const amount = quantity(tariff.unit, counters);
    const gross = ceiling(amount, tariff.step) * tariff.price_nano;
    return fall(priced(gross, amount, tariff.minimum_minor), tariff, head.protocol_ppm);
  };
  const receivers = between(head.visited, read.host, head.protocol_party, head.tax_party);
  return charge(WHOLESALE, legs(read.counters_from), legs(read.counters_to), receivers, {
    payer: head.home, seller: head.visited, asset: head.asset, tariffHash,
    agreementHash: derive("agreement", read.agreement, read.tariff_hashes),
    signers: [head.home_address, head.visited_address],
  });
}

function byPlan(inputs) {
  const read = fields(inputs, forms.RETAIL_1, "inputs");
  const plan = fields(read.plan, forms.PLAN, "plan");
  const price = fields(plan.price, forms.PRICE, "price");
  check(holds(price, read.plan_at_us), "the plan was not in force");
  rising(read);
  const reckoned = (counters) => retailLegs(price, read.discount_ppm, counters);
  const before = reckoned(read.counters_from), after = reckoned(read.counters_to);
  const receivers = [[SELLER, plan.home, "revenue"], [TAX, plan.home, "retail-tax"]];
  return charge(RETAIL, before.legs, after.legs, receivers, {
    payer: read.subscriber, seller: plan.home, asset: plan.asset,
    discountMinor: after.discount - before.discount,
    tariffHash: derive("retail-tariff", plan.price), agreementHash: derive("retail-plan", read.plan),
    discountPpm: read.discount_ppm,
  });
}

function retailLegs(price, discountPpm, counters) {
  const amount = quantity(price.unit, counters);
  const gross = ceiling(amount, price.step) * price.price_nano;
  const paid = priced(gross, amount, price.minimum_minor, 0n, discountPpm);
  const tax = taxOf(price, paid);
  const least = price.minimum_minor * NANO;
  const base = price.tax_included ? PPM + price.tax_ppm : PPM;
  const saved = largest(least, gross * PPM) - largest(least, gross * (PPM - discountPpm));
  const discount = amount ? (saved * PPM) / (base * NANO) : 0n;
  return { legs: [price.tax_included ? paid - tax : paid, tax], discount };
}

function byLine(inputs) {
  if (inputs instanceof Map && !inputs.has("line")) return forNothing(inputs);
  const read = fields(inputs, forms.LINE_2, "inputs");
  check(read.kind === WHOLESALE, "not the form rating writes");
  const offered = offer(read.offered);
  const head = readHead(read);
  const line = fields(read.line, forms.LINE, "line");
  const rate = read.exchange === null ? null : fields(read.exchange, forms.RATE, "exchange");
  const tariffHash = derive("roaming-line", read.line);
  checkLine(read, head, line, rate, tariffHash, offered);
  rising(read);
  const legs = (counters) => {
    const price = linePrice(line, offered.quote, counters);
    const paid = rate ? halfUp(price * rate.rate, 10n ** rate.decimals) : price;
    check(paid < CHARGE_MAX_MINOR, "the quantity is beyond the guards of the formula");
    return fall(paid, line, head.protocol_ppm);
  };
  const [home, visited] = [line.home, line.visited].map((party) => head.signatory(party));
  const receivers = between(line.visited, read.host, head.protocol_party, visited.tax_party);
  return charge(WHOLESALE, legs(read.counters_from), legs(read.counters_to), receivers, {
    payer: line.home, seller: line.visited, asset: head.asset, tariffHash,
    agreementHash: head.hash, signers: [home.address, visited.address],
  });
}

/** Read an agreement's head from inputs that name its lists by their hashes. */
export function readHead(read) {
  const head = fields(read.head, forms.HEAD, "head");
  const parties = head.parties.map((item) => fields(item, forms.SIGNATORY, "a party"));
  return {
    ...head,
    hash: derive("roaming-agreement", read.head, read.line_hashes, read.rate_hashes,
      read.deal_hashes),
    keys: new Map(parties.map((item) => [item.party, item.address])),
    signatory(party) {
      const found = parties.find((item) => item.party === party);
      check(found, "the line is not the agreement's");
      return found;
    },
  };
}

function checkLine(read, head, line, rate, hash, offered) {
  const at = read.tariff_at_us;
  check(among(read.line_hashes, hash), "the line is not the agreement's");
  check(line.host_ppm + head.protocol_ppm <= PPM, "host and protocol take more than the whole");
  check((line.currency === head.currency) === (rate === null), "an exchange rate too many or few");
  if (rate) {
    const known = among(read.rate_hashes, derive("roaming-rate", read.exchange));
    check(known && rate.currency === line.currency, "the exchange rate is not the agreement's");
  }
  check(holds(line, at) && (!rate || holds(rate, at)), "the line was not in force");
  check(line.first_step % line.next_step === 0n, "line.first_step is out of form");
  const isPerKib = line.next_step === KIB && line.unit.startsWith("octets");
  check(!line.in_band || isPerKib, "a line with quotes counts no steps of a KiB");
  const fits = line.services.includes(offered.service) && line.qos.includes(offered.qos)
    && line.rcoi.includes(offered.rcoi);
  check(fits, "the line is for other use than was offered");
}

function offer(map) {
  const read = fields(map, forms.OFFERED, "offered");
  const quote = read.quote;
  check(
    quote === null || (Array.isArray(quote) && quote.length === 2 && forms.isCurrency(quote[0])
      && forms.instant(quote[1])),
    "offered.quote is out of form",
  );
  return read;
}

function linePrice(line, quote, counters) {
  const cheaper = line.in_band && quote && quote[0] === line.currency
    && quote[1] <= line.price_nano;
  const amount = quantity(line.unit, counters);
  const begun = ceiling(amount, line.next_step);
  const steps = amount ? largest(line.first_step / line.next_step, begun) : 0n;
  const gross = steps * (cheaper ? quote[1] : line.price_nano);
  return priced(gross, amount, line.minimum_minor, line.fixed_minor);
}

function forNothing(inputs) {
  const read = fields(inputs, forms.FREE_2, "inputs");
  check(read.kind === WHOLESALE, "not the form rating writes");
  check(offer(read.offered).rcoi === "settlement_free", "no line, though it is not free");
  rising(read);
  const free = derive("settlement-free"), nothing = [0n, 0n, 0n, 0n];
  const receivers = between(read.visited, read.host, read.visited, read.visited);
  return charge(WHOLESALE, nothing, nothing, receivers, {
    payer: read.home, seller: read.visited, asset: read.asset, tariffHash: free,
    agreementHash: free, signers: null,
  });
}
