// A transaction that the page shows is sent from a wallet in the browser (EIP-1193), if there is one: the
// server tells what to sign, the wallet shows it again, and nothing is sent without its owner.
function hex(number) {
  return "0x" + number.toString(16);
}

async function send(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(path);
  const told = await answer.json();
  const [from] = await window.ethereum.request({ method: "eth_requestAccounts" });
  await window.ethereum.request({ method: "wallet_switchEthereumChain", params: [{ chainId: hex(told.chain_id) }] });
  return window.ethereum.request({ method: "eth_sendTransaction", params: [{ from, to: told.to, data: told.data }] });
}

function offer(place) {
  const button = place.querySelector("[data-send]");
  for (const other of place.querySelectorAll("[data-without]")) other.hidden = true;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const [sent, problem] = ["[data-sent]", "[data-problem]"].map((one) => place.querySelector(one));
    sent.hidden = problem.hidden = true;
    button.disabled = true;
    try {
      place.querySelector("[data-hash]").textContent = await send(place.dataset.transaction);
      sent.hidden = false;
    } catch {
      problem.hidden = false;
    }
    button.disabled = false;
  });
}

if (window.ethereum) document.querySelectorAll("[data-transaction]").forEach(offer);
