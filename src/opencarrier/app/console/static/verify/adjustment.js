// What names an adjustment and its flow. Its sums are not made again here: `opencarrier verify` does.
import { compared, derive, equal, sha256 } from "./canonical.js";
import { readHead } from "./rating.js";
import { ADJUSTMENT, CONTENT, among, check, fields, isAnything, isListOf } from "./terms.js";

const SELLER = 1n;

/** Check what names an adjustment and which flow of it a record is; its sums are not made again. */
export function checkAdjustment(receipt) {
  const { content, inputs } = receipt.parts.adjustment;
  const told = fields(content, CONTENT, "adjustment");
  const read = fields(inputs, ADJUSTMENT, "inputs");
  check(read.deal instanceof Map, "the deal is out of form");
  const head = readHead(read);
  const deal = derive("roaming-deal", read.deal);
  const id = derive("adjustment", head.hash, deal, read.number, sha256(told.inputs));
  check(among(read.deal_hashes, deal), "the deal is not the agreement's");
  check(
    told.exchange === null || among(read.rate_hashes, derive("roaming-rate", told.exchange)),
    "the exchange rate is not the agreement's",
  );
  const same = equal([id, head.hash, deal, head.asset],
    [told.adjustment_id, told.agreement_hash, told.deal_hash, told.asset]);
  const parties = equal([told.payer, told.seller], [read.deal.get("home"), read.deal.get("visited")]);
  check(same && parties, "the adjustment is not named by what it was made from");
  checkFlow(receipt, told);
  return head;
}

function checkFlow({ path, recordId }, told) {
  const legs = told.allocations;
  check(legs.every(isListOf(isAnything, 4, 4)), "allocations are out of form");
  check(legs.every((leg) => typeof leg[3] === "bigint"), "allocations are out of form");
  const sum = legs.reduce((total, leg) => total + leg[3], 0n);
  check(sum === told.amount_minor, "the legs do not sum to the amount");
  const leg = legs.find((item) => item[0] === told.role);
  check(told.role !== SELLER && (told.role === 0n || leg), "there is no such flow");
  const flow = told.role === 0n
    ? [told.payer, told.seller, told.amount_minor] : [told.seller, leg[1], leg[3]];
  const placed = flow[2] < 0n ? [flow[1], flow[0], -flow[2]] : flow;
  check(
    equal([...placed, told.asset], [path.debtor, path.creditor, path.amountMinor, path.asset]),
    "the position is not what the adjustment moves",
  );
  const record = derive("adjustment/record", told.adjustment_id, told.role);
  check(compared(record, recordId) === 0, "the record's id does not follow from the adjustment");
}
