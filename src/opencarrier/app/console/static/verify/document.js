// What a receipt holds, read strictly: every key known, every key there.
import * as form from "./form.js";
import { Broken, hex } from "./form.js";
import { encode } from "./canonical.js";

export const USAGE = "opencarrier-receipt/1";
export const ADJUSTMENT = "opencarrier-adjustment-receipt/1";
export const PARTS = ["usage", "wholesale", "retail"];
const PATH_MAX = 64;
const RUNGS = [1n, 2n];
const SETTLED = ["path", "agreement_signatures", "statement_signatures", "settlement"];
const PATH = [
  "record", "cycle_id", "debtor", "creditor", "asset", "rung", "amount_minor", "position",
  "jurisdiction", "domain",
];
const SETTLEMENT = [
  "chain_id", "clearing_house", "sequence", "cycle_id", "settlement_id", "tx_hash",
];

/** Read a receipt of either kind. */
export function readReceipt(text) {
  const json = form.read(text);
  return json.get("format") === ADJUSTMENT ? readAdjustment(json) : readUsage(json);
}

function readUsage(json) {
  const fields = form.keys(json, ["format", "usage_id", ...PARTS, ...SETTLED], "the receipt");
  if (fields.format !== USAGE) throw new Broken("form", `the format is not ${USAGE}`);
  return {
    kind: "usage",
    recordId: form.octets(fields.usage_id, 32, "usage_id"),
    parts: Object.fromEntries(PARTS.map((name) => [name, readPart(fields[name], name)])),
    ...readSettled(fields),
  };
}

function readAdjustment(json) {
  const fields = form.keys(json, ["format", "record_id", "adjustment", ...SETTLED], "the receipt");
  const adjustment = readPart(fields.adjustment, "adjustment");
  if (!adjustment?.content) throw new Broken("form", "an adjustment is shown whole");
  return {
    kind: "adjustment",
    recordId: form.octets(fields.record_id, 32, "record_id"),
    parts: { adjustment },
    ...readSettled(fields),
  };
}

/** Read a part: null, sealed (`commitment`) or shown (`salt`, `content`, `inputs` opened). */
function readPart(json, where) {
  if (json === null) return null;
  if (json instanceof Map && json.has("commitment")) {
    const { commitment } = form.keys(json, ["commitment"], where);
    return { commitment: form.octets(commitment, 32, where) };
  }
  const fields = form.keys(json, ["salt", "content"], where);
  const content = form.value(fields.content);
  if (!(content instanceof Map)) throw new Broken("form", `${where}.content is not an object`);
  const inputs = content.get("inputs");
  if (content.has("inputs")) content.set("inputs", encode(inputs));
  return { salt: form.octets(fields.salt, 32, `${where}.salt`), content, inputs };
}

function readSettled(fields) {
  return {
    path: readRecordPath(form.keys(fields.path, PATH, "path")),
    agreementSignatures: readSignatures(fields.agreement_signatures),
    statementSignatures: readSignatures(fields.statement_signatures),
    settlement: readSettlement(form.keys(fields.settlement, SETTLEMENT, "settlement")),
  };
}

function readRecordPath(fields) {
  const rung = form.number(fields.rung, "path.rung");
  if (!RUNGS.includes(rung)) throw new Broken("form", "path.rung is no rung");
  const texts = ["debtor", "creditor", "asset", "jurisdiction"];
  return {
    ...Object.fromEntries(texts.map((name) => [name, form.words(fields[name], `path.${name}`)])),
    record: readPath(fields.record, "path.record"),
    position: readPath(fields.position, "path.position"),
    domain: readPath(fields.domain, "path.domain"),
    cycleId: form.octets(fields.cycle_id, 32, "path.cycle_id"),
    amountMinor: form.number(fields.amount_minor, "path.amount_minor"),
    rung,
  };
}

function readPath(json, where) {
  const { index, size, siblings } = form.keys(json, ["index", "size", "siblings"], where);
  if (!Array.isArray(siblings) || siblings.length > PATH_MAX) {
    throw new Broken("form", `${where}.siblings is not a list of at most ${PATH_MAX}`);
  }
  return {
    index: form.number(index, `${where}.index`),
    size: form.number(size, `${where}.size`),
    siblings: siblings.map((sibling) => form.octets(sibling, 32, `${where}.siblings`)),
  };
}

function readSignatures(json) {
  if (!Array.isArray(json) || json.length > 2) {
    throw new Broken("form", "signatures are a list of at most 2");
  }
  return json.map((item) => {
    const { kid, octets } = form.keys(item, ["kid", "octets"], "a signature");
    return { kid: address(kid, "kid"), octets: form.octets(octets, 65, "a signature") };
  });
}

function readSettlement(fields) {
  return {
    chainId: form.number(fields.chain_id, "settlement.chain_id"),
    clearingHouse: address(fields.clearing_house, "settlement.clearing_house"),
    sequence: form.number(fields.sequence, "settlement.sequence"),
    cycleId: form.octets(fields.cycle_id, 32, "settlement.cycle_id"),
    settlementId: form.octets(fields.settlement_id, 32, "settlement.settlement_id"),
    txHash: form.octets(fields.tx_hash, 32, "settlement.tx_hash"),
  };
}

const address = (json, where) => hex(form.octets(json, 20, where));
