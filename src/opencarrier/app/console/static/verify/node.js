// What is asked of a node over JSON-RPC, and how a signature names its signer. Nothing else is asked.
import { keccak_256 as keccak } from "../vendor/noble-hashes/sha3.js";
import { recoverPublicKey } from "../vendor/noble-secp256k1/index.js";
import { compared, joined, word } from "./canonical.js";
import { Broken, hex, octetsOf } from "./form.js";

const TIMEOUT_MS = 10_000;
const ANSWER_OCTETS_MAX = 4 << 20;
const REVERTED = 3;
const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
const utf8 = new TextEncoder();

const SETTLED_EVENT = keccak(utf8.encode(
  "Settled(bytes32,bytes32,address,uint256,bytes32,uint8,bytes32,uint256,uint256[])"));
const SETTLEMENT_TYPE = keccak(utf8.encode(
  "Settlement(address token,bytes32 cycle_id,bytes32 records_root,uint8 netting_mode,"
  + "bytes32 nets_hash,bytes32 rewards_root,uint256 rewards_amount)"));

/** The node did not answer, or not in form: nothing is said about the receipt. */
export class Unreachable extends Error {}

/** The contract refused to answer. */
export class Reverted extends Error {}

const selector = (signature) => keccak(utf8.encode(signature)).slice(0, 4);
const number = (octets) => BigInt(hex(octets) === "0x" ? 0 : hex(octets));
const same = (a, b) => compared(a, b) === 0;

/** A node of the chain, asked anew each time. */
export class Node {
  constructor(url) {
    this.url = url;
    this.asked = 0;
  }

  async chainId() {
    return quantity(await this.ask("eth_chainId", []));
  }

  async genesisHash() {
    const block = await this.ask("eth_getBlockByNumber", ["0x0", false]);
    if (!block) throw new Unreachable("the chain has no block 0");
    return data(block.hash);
  }

  async codeHash(address) {
    return keccak(data(await this.ask("eth_getCode", [address, "latest"])));
  }

  async head() {
    return quantity(await this.ask("eth_blockNumber", []));
  }

  /** Return the number of the block of a tag, null where the chain has none. */
  async tagged(tag) {
    const block = await this.ask("eth_getBlockByNumber", [tag, false]);
    return block && quantity(block.number);
  }

  async call(to, signature, ...words) {
    const call = { to, data: hex(joined(selector(signature), ...words)) };
    return data(await this.ask("eth_call", [call, "latest"]));
  }

  async receipt(txHash) {
    const found = await this.ask("eth_getTransactionReceipt", [hex(txHash)]);
    if (!found) return null;
    try {
      return {
        succeeded: quantity(found.status) === 1n,
        blockNumber: quantity(found.blockNumber),
        logs: found.logs.map((log) => ({
          address: String(log.address).toLowerCase(),
          topics: log.topics.map(data),
          data: data(log.data),
        })),
      };
    } catch (error) {
      throw new Unreachable(`eth_getTransactionReceipt: ${error.message}`);
    }
  }

  async ask(method, params) {
    this.asked += 1;
    const body = JSON.stringify({ jsonrpc: "2.0", id: this.asked, method, params });
    const answer = await this.posted(body, method);
    if (!answer.error) return answer.result ?? null;
    const { code, message } = answer.error;
    if (code === REVERTED || String(message).startsWith("execution reverted")) {
      throw new Reverted(String(message).slice(0, 200));
    }
    throw new Unreachable(`${method}: ${String(message).slice(0, 200)}`);
  }

  async posted(body, method) {
    try {
      const answer = await fetch(this.url, {
        method: "POST", body, headers: { "Content-Type": "application/json" },
        credentials: "omit", referrerPolicy: "no-referrer", redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!answer.ok) throw new Error(`it answered ${answer.status}`);
      return parsed(await limited(answer));
    } catch (error) {
      throw new Unreachable(`${method}: ${error.message}`);
    }
  }
}

async function limited(answer) {
  const reader = answer.body.getReader(), parts = [];
  let size = 0;
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    size += step.value.length;
    if (size > ANSWER_OCTETS_MAX) throw new Error("the answer is too long");
    parts.push(step.value);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(joined(...parts));
}

function parsed(text) {
  const answer = JSON.parse(text);
  const speaks = answer && typeof answer === "object" && ("result" in answer || "error" in answer);
  if (!speaks) throw new Error("it does not speak JSON-RPC");
  return answer;
}

function quantity(value) {
  if (typeof value === "string" && /^0x[0-9a-fA-F]{1,64}$/.test(value)) return BigInt(value);
  throw new Unreachable("the node told no number where one belongs");
}

function data(value) {
  if (typeof value === "string" && /^0x(?:[0-9a-fA-F]{2})*$/.test(value)) {
    return octetsOf(value.toLowerCase());
  }
  throw new Unreachable("the node told no octets where some belong");
}

/** Return the settlements that a transaction of the clearing house told of a cycle. */
export function settledEvents({ logs }, house, cycleId) {
  return logs
    .filter((log) => log.address === house && log.topics.length === 4
      && same(log.topics[0], SETTLED_EVENT) && same(log.topics[1], cycleId))
    .map((log) => settledEvent(log.data));
}

function settledEvent(octets) {
  const words = [];
  for (let at = 0; at < octets.length; at += 32) words.push(octets.slice(at, at + 32));
  const nets = words.slice(7);
  const isForm = octets.length % 32 === 0 && words.length >= 7 && number(words[5]) === 192n
    && number(words[6]) === BigInt(nets.length);
  if (!isForm) throw new Broken("settlement", "its event is out of form");
  return {
    sequence: number(words[0]), recordsRoot: words[1], nettingMode: words[2],
    rewardsRoot: words[3], rewardsAmount: words[4], nets,
  };
}

/** Name a settlement by its content, as the contract does. */
export function settlementId(cycleId, token, told) {
  const nets = keccak(joined(word(32n), word(BigInt(told.nets.length)), ...told.nets));
  return keccak(joined(
    SETTLEMENT_TYPE, addressWord(token), cycleId, told.recordsRoot, told.nettingMode, nets,
    told.rewardsRoot, told.rewardsAmount,
  ));
}

/** Return an address as the contract's word. */
export const addressWord = (address) => joined(new Uint8Array(12), octetsOf(address));

/** Return who signed a digest, null for a malformed or malleable signature. */
export function signer(digest, octets) {
  const recovery = octets[64] - 27;
  if ((recovery !== 0 && recovery !== 1) || number(octets.slice(32, 64)) > HALF_ORDER) return null;
  try {
    const ordered = joined(Uint8Array.of(recovery), octets.slice(0, 64));
    const key = recoverPublicKey(ordered, digest, { prehash: false, isCompressed: false });
    return hex(keccak(key.slice(1)).slice(12));
  } catch {
    return null;
  }
}
