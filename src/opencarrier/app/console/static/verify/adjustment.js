// Making an adjustment again from what it says it was made from (docs/reference/receipt.md, section 7).
import { compared, derive, equal, sha256, utf8 } from "./canonical.js";
import { readDeal } from "./deal.js";
import { readHead } from "./rating.js";
import { adjusted, exchanged } from "./sums.js";
import { ADJUSTMENT, RATE, among, check, fields, holds, isListOf, sum, whole } from "./terms.js";

const WHOLE = 0n;
const [SELLER, HOST, PROTOCOL, TAX] = [1n, 2n, 3n, 4n];
const isLine = ([name, ...numbers]) => typeof name === "string" && numbers.every(sum);

/** Make the adjustment again; it must be this flow of this position. Its agreement's head is returned. */
export function checkAdjustment(receipt) {
  const { content, inputs } = receipt.parts.adjustment;
  const role = content.get("role");
  check(content.has("inputs") && typeof role === "bigint", "it lacks what it was made from");
  const due = dueAgain(inputs, content.get("inputs"), content.get("exchange") ?? null);
  const flow = flowsOf(due).find((item) => item.role === role);
  check(flow && equal(content, contentOf(due, role)), "adjusting again does not give this record");
  checkFlow(receipt, due, flow);
  return due.head;
}

function dueAgain(inputs, octets, exchange) {
  const read = readInputs(inputs);
  const { deal, head } = read;
  const rate = exchange === null ? null : fields(exchange, RATE, "exchange");
  const legs = rolesOf(read).map(([role, party], i) => [role, party, read.legs[i]])
    .filter(([, , leg]) => leg !== 0n);
  check(legs.length > 0, "its inputs move nothing");
  checkRate(read, exchange, rate);
  const amounts = legs.map(([, , leg]) => leg);
  const found = rate ? exchanged(amounts, rate) : amounts;
  const allocations = legs
    .map(([role, party], i) => [role, party, `clearing/${party}`, found[i]])
    .filter((leg) => leg[3] !== 0n);
  return {
    head, octets, exchange, allocations, payer: deal.home, seller: deal.visited,
    dealHash: read.dealHash,
    id: derive("adjustment", head.hash, read.dealHash, read.number, sha256(octets)),
    amount: allocations.reduce((all, leg) => all + leg[3], 0n),
  };
}

const rolesOf = ({ deal, head }) => [
  [SELLER, deal.visited], [HOST, null], [PROTOCOL, head.protocol_party],
  [TAX, head.signatory(deal.visited).tax_party],
];

function readInputs(inputs) {
  const read = fields(inputs, ADJUSTMENT, "inputs");
  const deal = readDeal(read.deal), head = readHead(read), dealHash = derive("roaming-deal", read.deal);
  const ends = deal.per === "term" ? [head.periods_us[0], head.periods_us.at(-1)] : head.periods_us;
  const isPeriod = ends.some((end, i) => i && ends[i - 1] === read.start_us && end === read.end_us);
  check(isPeriod && among(read.deal_hashes, dealHash), "the deal or the period is not the agreement's");
  check(head.keys.has(deal.home) && head.keys.has(deal.visited), "others signed than the deal is between");
  check(read.booked[1] === 0n, "an adjustment never moves a host's share");
  const isCounted = isListOf(sum, deal.pricings.length, deal.pricings.length);
  check(isCounted(read.subscribers), "the subscribers are out of form");
  const found = {
    deal, head, dealHash, number: read.number, end: read.end_us, isFinal: read.is_final,
    booked: read.booked, rateHashes: read.rate_hashes,
    sums: { lines: readLines(read.lines), subscribers: read.subscribers },
  };
  return { ...found, legs: adjusted(found) };
}

function readLines(items) {
  check(items.every(isLine), "the sums are out of form");
  const names = items.map(([name]) => utf8.encode(name));
  check(names.every((name, i) => !i || compared(names[i - 1], name) < 0), "the sums do not ascend");
  return new Map(items.map(([name, amount, ...legs]) => [name, { amount, legs }]));
}

function checkRate({ deal, head, end, rateHashes }, exchange, rate) {
  if (!rate) return check(deal.currency === head.currency, "an exchange rate is missing");
  const isSigned = among(rateHashes, derive("roaming-rate", exchange)) && rate.currency === deal.currency;
  check(isSigned, "the exchange rate is not the agreement's");
  return check(holds(rate, end - 1n), "the exchange rate is of another time");
}

/** Return what an adjustment makes its parties owe each other; nobody owes itself. */
function flowsOf({ payer, seller, amount, allocations }) {
  const passed = allocations.filter(([role]) => role !== SELLER)
    .map(([role, party, , leg]) => ({ role, debtor: seller, creditor: party, amount: leg }));
  return [{ role: WHOLE, debtor: payer, creditor: seller, amount }, ...passed]
    .filter((flow) => flow.amount !== 0n && flow.debtor !== flow.creditor)
    .map((flow) => (flow.amount < 0n
      ? { ...flow, debtor: flow.creditor, creditor: flow.debtor, amount: -flow.amount } : flow));
}

const contentOf = (due, role) => new Map(Object.entries({
  adjustment_id: due.id, payer: due.payer, seller: due.seller, asset: due.head.asset,
  amount_minor: due.amount, agreement_hash: due.head.hash, deal_hash: due.dealHash,
  inputs: due.octets, exchange: due.exchange, allocations: due.allocations, role,
}));

function checkFlow({ path, recordId }, due, { role, debtor, creditor, amount }) {
  const isPlaced = equal([debtor, creditor, due.head.asset, amount],
    [path.debtor, path.creditor, path.asset, path.amountMinor]);
  check(isPlaced, "the position is not what the adjustment moves");
  const record = derive("adjustment/record", due.id, role);
  check(compared(record, recordId) === 0, "the record's id does not follow from the adjustment");
}
