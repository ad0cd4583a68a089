"""A token and a stake contract with the people of the story."""

from __future__ import annotations

from contract_evm import FAR_S, MAX, Evm, Outcome, key

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import StableToken, StakeDiscount, Tier
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.signatures import Address, KeySigner

TOKEN = 1_000_000
PURSE = 10_000 * TOKEN
DAY_S = 86_400
CAP_PPM = 12_000_000
TIERS = (
    Tier(min_amount=100 * TOKEN, min_lock_s=30 * DAY_S, discount_ppm=50_000),
    Tier(min_amount=1_000 * TOKEN, min_lock_s=30 * DAY_S, discount_ppm=80_000),
    Tier(min_amount=100 * TOKEN, min_lock_s=365 * DAY_S, discount_ppm=100_000),
    Tier(min_amount=1_000 * TOKEN, min_lock_s=365 * DAY_S, discount_ppm=200_000),
)
SALT = b"\x05" * 32


class StakeWorld:
    """Owner (of the token only), stranger, and three accounts with tokens and approvals."""

    def __init__(self, evm: Evm | None = None, tiers: tuple[Tier, ...] = TIERS) -> None:
        self.evm = evm or Evm()
        self.owner, self.stranger = key("owner"), key("stranger")
        self.accounts = [key(f"staker {i}") for i in range(3)]
        owner = self.owner.address
        deployed = StableToken.deployment(
            name="Test Dollar", symbol="USDt", version="1", owner=owner
        )
        self.token = StableToken(self.evm.deploy(owner, deployed))
        self.stakes = self.deploy(self.token.address, tiers)
        self.send(self.owner, self.token.set_minter(owner, allowed=True))
        for account in self.accounts:
            self.send(self.owner, self.token.mint(account.address, PURSE))
            self.send(account, self.token.approve(self.stakes.address, MAX))

    def deploy(self, token: Address, tiers=TIERS, cap_ppm: int = CAP_PPM) -> StakeDiscount:
        call = StakeDiscount.deployment(token=token, tiers=tiers, cap_ppm=cap_ppm)
        return StakeDiscount(self.evm.deploy(self.owner.address, call))

    def send(self, sender, call: Call) -> Outcome:
        return self.evm.send(sender.address, call)

    def told(self, outcome: Outcome) -> list[events.Event]:
        """Every event of an outcome, read by whichever contract wrote it."""
        contracts = {self.token.address: self.token, self.stakes.address: self.stakes}
        found = [contracts[log.address].event(log) for log in outcome.logs]
        assert None not in found
        return found

    def tokens(self, account: Address) -> int:
        return self.token.balance_of(account).ask(self.evm)

    def ask(self, query):
        return query.ask(self.evm)

    @property
    def domain(self) -> typed_data.SigningDomain:
        return self.stakes.signing_domain(self.evm.chain_id)

    @property
    def token_domain(self) -> typed_data.SigningDomain:
        return self.token.signing_domain().ask(self.evm)

    def signed(
        self,
        account: KeySigner,
        amount: int,
        lock_s: int,
        *,
        nonce: int = 0,
        deadline: int = FAR_S,
        domain: typed_data.SigningDomain | None = None,
        signer: KeySigner | None = None,
    ) -> Call:
        """A stake by signature, right unless told otherwise."""
        digest = typed_data.stake_digest(
            domain or self.domain,
            account=account.address,
            amount_minor=amount,
            lock_s=lock_s,
            nonce=nonce,
            deadline_s=deadline,
        )
        return self.stakes.stake_by_signature(
            account=account.address,
            amount=amount,
            lock_s=lock_s,
            deadline=deadline,
            signature=(signer or account).sign(digest).octets,
        )

    def authorization(
        self, account: KeySigner, amount: int, lock_s: int, salt: bytes = SALT
    ) -> Authorization:
        return Authorization(
            sender=account.address,
            receiver=self.stakes.address,
            amount_minor=amount,
            valid_after_s=0,
            valid_before_s=FAR_S,
            nonce=typed_data.stake_authorization_nonce(lock_s, salt),
        )

    def authorized(
        self, account: KeySigner, amount: int, lock_s: int, *, signed_lock_s: int | None = None
    ) -> Call:
        """A stake by the token's own authorisation; the lock may differ from the signed one."""
        given = self.authorization(account, amount, signed_lock_s or lock_s)
        digest = typed_data.receive_digest(self.token_domain, given)
        signature = account.sign(digest).octets
        return self.stakes.stake_with_authorization(
            given, lock_s=lock_s, salt=SALT, signature=signature
        )

    def permitted(self, account: KeySigner, amount: int, lock_s: int, nonce: int = 0) -> Call:
        """A stake with a permit."""
        return self.stakes.stake_with_permit(
            amount=amount,
            lock_s=lock_s,
            deadline=FAR_S,
            signature=self.permit_signature(account, amount, nonce),
        )

    def permit_signature(self, account: KeySigner, amount: int, nonce: int = 0) -> bytes:
        digest = typed_data.permit_digest(
            self.token_domain,
            owner=account.address,
            spender=self.stakes.address,
            amount_minor=amount,
            nonce=nonce,
            deadline_s=FAR_S,
        )
        return account.sign(digest).octets
