// What is hashed: deterministic CBOR of a small subset (RFC 8949 section 4.2.1), derived ids, and
// Merkle paths in the shape of RFC 9162 section 2.1.
import { sha256 } from "../vendor/noble-hashes/sha2.js";
import { Broken } from "./form.js";

const DEPTH_MAX = 16;
const PATH_MAX = 64;
const NO_CHARACTER = /\p{Surrogate}/u;
export const utf8 = new TextEncoder();

export { sha256 };

const none = (detail) => new Broken("form", `nothing that was committed to: ${detail}`);

/** Put octets one after the other. */
export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Write a number's octets, most significant first, in so many of them. */
export function word(number, size = 32) {
  const digits = BigInt(number).toString(16).padStart(2 * size, "0");
  return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));
}

/** Encode a value in the one canonical way. */
export function encode(value) {
  const parts = [];
  append(parts, value, 0);
  return joined(...parts);
}

function append(parts, value, depth) {
  if (value === null) parts.push(Uint8Array.of(0xf6));
  else if (typeof value === "boolean") parts.push(Uint8Array.of(value ? 0xf5 : 0xf4));
  else if (typeof value === "bigint") appendInteger(parts, value);
  else if (typeof value === "string") parts.push(text(value));
  else if (value instanceof Uint8Array) parts.push(head(2, BigInt(value.length)), value);
  else if (depth >= DEPTH_MAX) throw none(`nested deeper than ${DEPTH_MAX}`);
  else if (Array.isArray(value)) {
    parts.push(head(4, BigInt(value.length)));
    for (const item of value) append(parts, item, depth + 1);
  } else if (value instanceof Map) appendMap(parts, value, depth);
  else throw none("it has no canonical encoding");
}

function appendMap(parts, map, depth) {
  parts.push(head(5, BigInt(map.size)));
  const entries = [...map].map(([key, item]) => [text(key), item]);
  for (const [key, item] of entries.sort(([a], [b]) => compared(a, b))) {
    parts.push(key);
    append(parts, item, depth + 1);
  }
}

function appendInteger(parts, value) {
  const [major, argument] = value >= 0n ? [0, value] : [1, -1n - value];
  if (argument < 1n << 64n) {
    parts.push(head(major, argument));
    return;
  }
  const size = Math.ceil(argument.toString(16).length / 2);
  parts.push(head(6, value >= 0n ? 2n : 3n), head(2, BigInt(size)), word(argument, size));
}

function head(major, argument) {
  if (argument < 24n) return Uint8Array.of((major << 5) | Number(argument));
  const code = [24, 25, 26, 27].find((_, i) => argument < 1n << BigInt(8 << i));
  return joined(Uint8Array.of((major << 5) | code), word(argument, 1 << (code - 24)));
}

function text(value) {
  if (NO_CHARACTER.test(value)) throw none("text holds half a surrogate pair");
  const octets = utf8.encode(value);
  return joined(head(3, BigInt(octets.length)), octets);
}

/** Order octets as they stand; also says whether two are equal. */
export function compared(a, b) {
  for (let i = 0; i < a.length && i < b.length; i += 1) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** Order texts by their characters; UTF-16, which JavaScript orders by, has those beyond 16 bits too low. */
export const ordered = (a, b) => compared(utf8.encode(a), utf8.encode(b));

/** Say whether two values encode to the same octets. */
export const equal = (a, b) => compared(encode(a), encode(b)) === 0;

/** Name something by its content: SHA-256 over ["opencarrier/" + tag, ...fields]. */
export const derive = (tag, ...fields) => sha256(encode([`opencarrier/${tag}`, ...fields]));

/** Hash a leaf of a tree. */
export const leafHash = (data) => sha256(joined(Uint8Array.of(0), data));

const nodeHash = (left, right) => sha256(joined(Uint8Array.of(1), left, right));

/** Walk a path up from a leaf's hash; null where it has no such shape. */
export function rootFromPath(leaf, { index, size, siblings }) {
  if (!(0n <= index && index < size) || siblings.length > PATH_MAX) return null;
  let position = index, last = size - 1n, digest = leaf;
  for (const sibling of siblings) {
    if (last === 0n) return null;
    if (position % 2n || position === last) {
      digest = nodeHash(sibling, digest);
      while (position % 2n === 0n && position) {
        position >>= 1n;
        last >>= 1n;
      }
    } else digest = nodeHash(digest, sibling);
    position >>= 1n;
    last >>= 1n;
  }
  return last === 0n ? digest : null;
}

/** Walk to a level's root and bind it to the number of its leaves; null for an impossible path. */
export function climb(level, leaf, path) {
  const root = rootFromPath(leaf, path);
  return root && derive(level, path.size, root);
}
