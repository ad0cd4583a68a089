// Every step from a receipt's text to a verdict, in this browser alone: the steps, their order and their
// names are those of `opencarrier verify`. The trust anchor is the manifest, never the receipt.
import { checkAdjustment } from "./adjustment.js";
import { climb, compared, derive, encode, equal, leafHash, sha256, word } from "./canonical.js";
import { checkChoice } from "./choice.js";
import { PARTS, readReceipt } from "./document.js";
import { Broken, hex } from "./form.js";
import { addressWord, Reverted, settledEvents, settlementId, signer } from "./node.js";
import { RETAIL, WHOLESALE } from "./terms.js";
import { rerate } from "./rating.js";

const KINDS = { wholesale: WHOLESALE, retail: RETAIL };
const CO_SIGNED = 2n;
const CYCLES_REMEMBERED_MAX = 1024;
const USAGE_KEYS = [
  "usage_id", "session_id", "home", "visited", "host", "node_id", "counters_from", "counters_to",
  "start_us", "end_us", "weak", "closed_by", "rung",
];
const same = (a, b) => compared(a, b) === 0;

/** The steps in their order; each has a reason it breaks with. */
export const STEPS = [
  "chain", "code", "form", "usage", "rating", "stake", "signature", "settlement", "record",
  "finality", "choice",
];

/** Checks receipts against one venue; what it read of a cycle on the chain it remembers. */
export class Verifier {
  constructor(manifest, node, told = () => {}) {
    this.manifest = manifest;
    this.node = node;
    this.told = told;
    this.cycles = new Map();
  }

  at(contract) {
    const pinned = this.manifest.contracts[contract];
    if (!pinned) throw new Broken("contract", `the venue has no ${contract}`);
    return pinned.address;
  }

  /** Check that the node is on the manifest's chain and the contracts are what it pins. */
  async checkVenue() {
    const { chain_id: id, genesis_hash: genesis, contracts } = this.manifest;
    const found = await this.node.chainId();
    if (found !== BigInt(id)) throw new Broken("chain", `the node is on chain ${found}`);
    if (hex(await this.node.genesisHash()) !== genesis) {
      throw new Broken("chain", "the node's chain has another genesis block");
    }
    this.told("chain", { chain: id, genesis });
    const pinned = Object.entries(contracts);
    const codes = await Promise.all(pinned.map(([, item]) => this.node.codeHash(item.address)));
    pinned.forEach(([name, item], i) => {
      if (hex(codes[i]) !== item.code_hash) {
        throw new Broken("code", `the ${name} at ${item.address} is not the pinned contract`);
      }
    });
    this.told("code", { contracts: pinned.length });
  }

  /** Check a receipt's text through every step; what breaks is a Broken with the step's name. */
  async verify(text) {
    const receipt = readReceipt(text);
    this.told("form", { octets: text.length });
    const isUsage = receipt.kind === "usage";
    if (isUsage) checkUsage(receipt, this.told);
    const placed = walk(receipt);
    const rated = isUsage ? this.checkCharges(receipt) : this.checkAdjusted(receipt);
    if (isUsage) await this.checkDiscount(receipt.parts.retail);
    const signers = isUsage ? usageSigners(receipt) : rated.signers;
    const signedBy = checkSignatures(receipt, placed.position, signers);
    this.told("signature", { signedBy });
    const settled = await this.placed(receipt.settlement, placed);
    const choice = isUsage ? checkChoice(receipt.parts.usage?.content) : null;
    this.told("choice", choice);
    return {
      kind: receipt.kind, recordId: hex(receipt.recordId), ratedRight: rated.names,
      signedBy, choice, recordsRoot: hex(placed.root), ...settled,
    };
  }

  checkCharges(receipt) {
    const names = Object.keys(KINDS).filter((name) => checkCharge(receipt, name));
    const amounts = names.map((name) => [name, receipt.parts[name].content.get("amount_minor")]);
    this.told("rating", { amounts });
    return { names };
  }

  checkAdjusted(receipt) {
    const head = checkAdjustment(receipt);
    this.told("rating", { amounts: [[receipt.kind, receipt.path.amountMinor]] });
    return { names: [receipt.kind], signers: adjustmentSigners(receipt, head) };
  }

  /** Check that the pinned contract tells the discount a retail charge was rated with. */
  async checkDiscount(retail) {
    if (!retail?.content) return this.told("stake", null);
    const ppm = retail.inputs.get("discount_ppm");
    if (!retail.content.has("stake")) {
      if (ppm) throw new Broken("stake", "a discount without the stake it comes from");
      return this.told("stake", null);
    }
    const stake = readStake(retail.content.get("stake"));
    if (stake.contract !== this.at("StakeDiscount")) {
      throw new Broken("stake", "the stake is in another contract than the pinned one");
    }
    const toldPpm = await this.discount(stake);
    if (toldPpm !== ppm) throw new Broken("stake", `rated with ${ppm} ppm, told are ${toldPpm}`);
    return this.told("stake", { ppm, account: stake.account });
  }

  async discount({ contract, account, timepoint }) {
    const words = [addressWord(account), word(timepoint)];
    try {
      const answer = await this.node.call(contract, "discount_ppm_at(address,uint256)", ...words);
      return BigInt(hex(answer));
    } catch (error) {
      throw error instanceof Reverted ? new Broken("stake", error.message) : error;
    }
  }

  /** Check that the chain settled a cycle with this root, and say how final it is. */
  async placed(pointer, { root }) {
    const key = hex(encode(Object.values(pointer)));
    const known = this.cycles.get(key) ?? await this.settlement(pointer);
    if (this.cycles.size >= CYCLES_REMEMBERED_MAX) this.cycles.clear();
    this.cycles.set(key, known);
    this.told("settlement", { sequence: pointer.sequence, txHash: hex(pointer.txHash) });
    if (!same(known.recordsRoot, root)) {
      throw new Broken("record", "the record is not under the root the chain holds");
    }
    this.told("record", { root: hex(root) });
    return this.finality(known.blockNumber);
  }

  async settlement(pointer) {
    const { chain_id: id, domain, asset } = this.manifest;
    const house = this.at("ClearingHouse");
    if (pointer.chainId !== BigInt(id) || pointer.clearingHouse !== house) {
      throw new Broken("settlement", "it names another chain or clearing house");
    }
    if (!same(pointer.cycleId, derive("cycle", domain, asset, pointer.sequence))) {
      throw new Broken("settlement", "the cycle is not this domain's of that sequence");
    }
    const held = await this.node.call(house, "settled(bytes32)", pointer.cycleId);
    if (!same(held, pointer.settlementId)) {
      throw new Broken("settlement", "the contract settled the cycle otherwise, or not yet");
    }
    return this.transaction(pointer, house);
  }

  async transaction(pointer, house) {
    const found = await this.node.receipt(pointer.txHash);
    if (!found?.succeeded) throw new Broken("settlement", "its transaction is not in the chain");
    const events = settledEvents(found, house, pointer.cycleId);
    if (events.length !== 1 || events[0].sequence !== pointer.sequence) {
      throw new Broken("settlement", "its transaction did not settle that cycle");
    }
    const computed = settlementId(pointer.cycleId, this.at("StableToken"), events[0]);
    if (!same(computed, pointer.settlementId)) {
      throw new Broken("settlement", "its transaction moved something else");
    }
    return { recordsRoot: events[0].recordsRoot, blockNumber: found.blockNumber };
  }

  async finality(block) {
    const [kind, wanted] = this.manifest.finality.split(":");
    const head = await this.node.head();
    const depth = head - block + 1n;
    const tags = { safe: "safe", finalized: "finalized" };
    const last = kind in tags ? await this.node.tagged(tags[kind])
      : head - BigInt(kind === "depth" ? wanted : 1) + 1n;
    const isFinal = last !== null && block <= last;
    this.told("finality", { isFinal, profile: this.manifest.finality, depth, block });
    return { final: isFinal, finality: this.manifest.finality, depth };
  }
}

function checkUsage({ parts, path, recordId }, told) {
  const content = parts.usage?.content;
  if (!content) return told("usage", null);
  const keys = [...content.keys()].filter((key) => key !== "choice");
  if (keys.length !== USAGE_KEYS.length || !USAGE_KEYS.every((key) => content.has(key))) {
    throw new Broken("usage", "the usage part has an unknown or a missing key");
  }
  const session = content.get("session_id");
  if (!(session instanceof Uint8Array)) throw new Broken("usage", "session_id is not octets");
  const counters = ["counters_from", "counters_to"].map((name) => content.get(name));
  if (!counters.every(areCounters)) throw new Broken("usage", "counters are three whole numbers");
  const derived = derive("usage", session, ...counters);
  const named = content.get("usage_id");
  if (!(named instanceof Uint8Array && same(derived, named) && same(derived, recordId))) {
    throw new Broken("usage", "the usage id does not follow from session and counters");
  }
  if (content.get("home") !== path.debtor || content.get("visited") !== path.creditor) {
    throw new Broken("usage", "home and visited are not the position's parties");
  }
  const rung = content.get("rung");
  if (typeof rung !== "bigint" || rung < path.rung) {
    throw new Broken("usage", "the position stands on a higher rung than its evidence");
  }
  const [before, after] = counters;
  return told("usage", { used: after.map((item, i) => item - before[i]), recordId: hex(recordId) });
}

const areCounters = (value) => Array.isArray(value) && value.length === 3
  && value.every((item) => typeof item === "bigint" && item >= 0n);

/** Walk from the parts' commitments to the records root. */
function walk({ kind, recordId, parts, path }) {
  const leaf = kind === "usage" ? usageLeaf(recordId, parts)
    : encode(["opencarrier/adjustment", recordId, commitment("adjustment", parts.adjustment)]);
  const pair = climb("pair-root", leafHash(leaf), path.record);
  const position = pair && derive("position", path.cycleId, path.debtor, path.creditor, path.asset,
    path.rung, pair, path.amountMinor);
  const jurisdiction = pair && climb("jurisdiction-root", leafHash(position), path.position);
  const root = jurisdiction
    && climb("records-root", leafHash(encode([path.jurisdiction, jurisdiction])), path.domain);
  if (!root) throw new Broken("record", "the path has an impossible shape");
  return { root, position };
}

function usageLeaf(recordId, parts) {
  const hashes = PARTS.map((name) => commitment(name, parts[name]));
  if (!hashes[0] || !hashes[1]) throw new Broken("record", "a record has a usage and a wholesale part");
  return encode(["opencarrier/record", recordId, ...hashes]);
}

function commitment(name, part) {
  if (!part?.content) return part && part.commitment;
  return sha256(encode(["opencarrier/part", name, part.salt, part.content]));
}

/** Rate a disclosed charge again; false where it is not disclosed. */
function checkCharge(receipt, name) {
  const part = receipt.parts[name];
  if (!part?.content) return false;
  const content = new Map(part.content);
  if (name === "retail") content.delete("stake");
  const version = content.get("rule_version");
  if (!content.has("inputs") || typeof version !== "string") {
    throw new Broken("rating", `${name} lacks what it was rated from`);
  }
  const priced = rerate(version, part.inputs);
  const expected = chargeContent(receipt.recordId, KINDS[name], version, priced, content.get("inputs"));
  if (priced.kind !== KINDS[name] || !equal(content, expected)) {
    throw new Broken("rating", `rating again does not give the ${name} charge`);
  }
  checkInputs(receipt, name, priced, part.inputs);
  part.priced = priced;
  return true;
}

function chargeContent(usageId, kind, version, priced, inputs) {
  const amount = priced.amountMinor;
  return new Map(Object.entries({
    charge_id: derive("charge", usageId, kind, sha256(inputs), version, amount),
    usage_id: usageId, kind, payer: priced.payer, seller: priced.seller, asset: priced.asset,
    amount_minor: amount, discount_minor: priced.discountMinor, tariff_hash: priced.tariffHash,
    agreement_hash: priced.agreementHash, rule_version: version, inputs,
    allocations: priced.allocations,
  }));
}

/** Check that a charge was rated from this usage, under this pair's agreement. */
function checkInputs({ parts, path }, name, priced, inputs) {
  const usage = parts.usage?.content;
  const shared = ["counters_from", "counters_to", ...(name === "wholesale" ? ["host"] : [])];
  if (usage && !shared.every((key) => equal(inputs.get(key), usage.get(key)))) {
    throw new Broken("rating", `the ${name} charge was rated from other use`);
  }
  const named = [priced.payer, priced.seller, priced.asset];
  if (name === "wholesale" && !equal(named, [path.debtor, path.creditor, path.asset])) {
    throw new Broken("rating", "the agreement is another pair's");
  }
}

function readStake(terms) {
  const isAddress = (value) => typeof value === "string" && /^0x[0-9a-f]{40}$/.test(value);
  const names = ["contract", "account", "timepoint_s"];
  const isForm = terms instanceof Map && terms.size === 3 && names.every((name) => terms.has(name))
    && isAddress(terms.get("contract")) && isAddress(terms.get("account"));
  const timepoint = isForm && terms.get("timepoint_s");
  if (typeof timepoint !== "bigint" || timepoint < 0n || timepoint >= 1n << 63n) {
    throw new Broken("stake", "contract, account and second are out of form");
  }
  return { contract: terms.get("contract"), account: terms.get("account"), timepoint };
}

/** Say whose signatures are needed under a usage's agreement and statement; null where sealed. */
function usageSigners({ parts, path }) {
  const priced = parts.wholesale?.priced;
  if (!priced) return null;
  if (!priced.signers) throw new Broken("inputs", "settlement-free use has no agreement");
  const needed = path.rung === CO_SIGNED ? priced.signers : [priced.signers[1]];
  return { agreement: priced.agreementHash, both: priced.signers, needed };
}

function adjustmentSigners({ path }, head) {
  const needed = path.rung === CO_SIGNED ? [path.debtor, path.creditor] : [path.creditor];
  return {
    agreement: head.hash, both: [...head.keys.values()],
    needed: needed.filter((party) => head.keys.has(party)).map((party) => head.keys.get(party)),
  };
}

function checkSignatures(receipt, position, signers) {
  const { agreementSignatures, statementSignatures } = receipt;
  if (!signers) {
    if (agreementSignatures.length || statementSignatures.length) {
      throw new Broken("signature", "signatures without the agreement that names the keys");
    }
    return {};
  }
  const { agreement, both, needed } = signers;
  return {
    agreement: signersOf(agreement, agreementSignatures, both, both),
    statement: signersOf(derive("statement", position), statementSignatures, needed, both),
  };
}

function signersOf(digest, signatures, needed, allowed) {
  const kids = signatures.map((item) => item.kid);
  if (new Set(kids).size !== kids.length || !kids.every((kid) => allowed.includes(kid))) {
    throw new Broken("signature", "a signature is another key's, or stands twice");
  }
  if (!signatures.every((item) => signer(digest, item.octets) === item.kid)) {
    throw new Broken("signature", "a signature does not hold");
  }
  if (!needed.every((address) => kids.includes(address))) {
    throw new Broken("signature", "a signature that this rung needs is missing");
  }
  return kids.sort();
}
