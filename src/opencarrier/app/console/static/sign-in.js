// Passkeys (WebAuthn) and wallets (EIP-1193, EIP-4361): what the browser or the wallet signs goes to
// the server, which judges it. On the page of sign-in they let in, on one's own page they are added.
const place = document.querySelector("[data-sign-in], [data-add]");
const adds = place?.matches("[data-add]");
const base = adds ? "/me/keys" : "/sign-in";
const REJECTED_BY_PERSON = 4001;

function octets(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (one) => one.charCodeAt(0));
}

function text(buffer) {
  const binary = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function hex(words) {
  return "0x" + Array.from(new TextEncoder().encode(words), (one) => one.toString(16).padStart(2, "0")).join("");
}

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function post(path, body) {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": place.dataset.csrf ?? "" },
    body: JSON.stringify(body),
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, adds ? told.detail : "");
  return told;
}

function named() {
  return place.querySelector("[name=name]").value.trim();
}

function readable(options) {
  const listed = (list) => list?.map((one) => ({ ...one, id: octets(one.id) }));
  const made = { ...options, challenge: octets(options.challenge) };
  if (made.user) made.user = { ...made.user, id: octets(made.user.id) };
  made.excludeCredentials = listed(made.excludeCredentials);
  made.allowCredentials = listed(made.allowCredentials);
  return made;
}

function written(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response };
}

async function passkey() {
  const publicKey = readable((await post("/passkey/options", {})).publicKey);
  if (adds) {
    const made = await navigator.credentials.create({ publicKey });
    await post("/passkey", { name: named(), response: written(made) });
  } else {
    await post("/passkey", written(await navigator.credentials.get({ publicKey })));
  }
}

async function wallet() {
  if (!window.ethereum) throw new Refused(0, say("wallet"));
  const [address] = await window.ethereum.request({ method: "eth_requestAccounts" });
  const { message } = await post("/wallet/message", { address });
  const signature = await window.ethereum.request({ method: "personal_sign", params: [hex(message), address] });
  await post("/wallet", { name: adds ? named() : "", message, signature });
}

function say(what) {
  return place.querySelector(`[data-says-${what}]`).textContent;
}

function explained(error) {
  if (error instanceof Refused) return error.message || say(error.status === 429 ? "often" : "refused");
  if (error.name === "NotAllowedError" || error.code === REJECTED_BY_PERSON) return say("stopped");
  return say("refused");
}

async function attempt(work) {
  const problem = place.querySelector("[data-problem]");
  problem.hidden = true;
  try {
    await work();
    location.assign(adds ? "/me" : place.dataset.next);
  } catch (error) {
    problem.querySelector("span").textContent = explained(error);
    problem.hidden = false;
  }
}

place?.querySelector("[data-passkey]")?.addEventListener("click", () => attempt(passkey));
place?.querySelector("[data-wallet]")?.addEventListener("click", () => attempt(wallet));
