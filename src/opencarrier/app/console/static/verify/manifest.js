// The pinned venue: which chain and contracts are trusted, read before any receipt is.
import { Broken } from "./form.js";

const FORMAT = "opencarrier-manifest/2";
const OCTETS_MAX = 64 * 1024;
const CONTRACTS_MAX = 32;
const TEXTS = ["domain", "genesis_hash", "finality", "asset", "rulebook_hash"];
const NUMBERS = ["chain_id", "from_block"];

const check = (holds, reason, detail) => {
  if (!holds) throw new Broken(reason, detail);
};
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const hasKeys = (value, known) => isObject(value)
  && Object.keys(value).length === known.length && known.every((key) => Object.hasOwn(value, key));

/** Read a manifest; another format, an unknown or a missing key is refused. */
export function readManifest(text) {
  check(text.length <= OCTETS_MAX, "manifest_too_large", `more than ${OCTETS_MAX} octets`);
  const values = parsed(text);
  check(isObject(values) && values.format === FORMAT, "manifest_format", `expected ${FORMAT}`);
  const known = ["format", ...TEXTS, ...NUMBERS, "contracts"];
  check(hasKeys(values, known), "manifest_keys", "unknown or missing keys");
  check(TEXTS.every((key) => typeof values[key] === "string"), "manifest_value", "a text");
  check(NUMBERS.every((key) => Number.isSafeInteger(values[key])), "manifest_value", "a number");
  check(isFinality(values.finality), "manifest_value", "finality");
  const contracts = isObject(values.contracts) ? Object.values(values.contracts) : [];
  check(contracts.length > 0 && contracts.length <= CONTRACTS_MAX, "manifest_value", "contracts");
  check(contracts.every(isPinned), "manifest_value", "contracts");
  return values;
}

const isPinned = (pinned) => hasKeys(pinned, ["address", "code_hash"])
  && /^0x[0-9a-f]{40}$/.test(pinned.address) && /^0x[0-9a-f]{64}$/.test(pinned.code_hash);

const isFinality = (text) => /^(?:single_operator|safe|finalized|depth:[1-9][0-9]{0,8})$/.test(text);

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Broken("manifest_not_json", error.message);
  }
}
