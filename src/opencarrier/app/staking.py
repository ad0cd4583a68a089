"""What people do with stakes here: stake by signature at the hub's gas, bind, ask, leave.

A key is used and forgotten: the account signs, anybody may submit, and here the hub does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.errands import AMOUNT_MAX, ErrandRefusal
from opencarrier.app.referring import Referred, intent_of
from opencarrier.chain.contracts import StableToken, StakeDiscount
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import (
    Authorization,
    bind_staker_digest,
    receive_digest,
    stake_authorization_nonce,
    stake_digest,
)
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.staking.model import Binding

SIGNED_FOR_S = 3_600
"""How long a signature made here is good for: long enough to be mined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staked:
    """What an account has at stake after a transaction, in the token's smallest unit."""

    account: Address
    amount_minor: int
    lock_s: int
    unlock_at_s: int
    tx_hash: bytes

    def told(self) -> dict[str, Any]:
        """Put it in JSON's terms."""
        return {**asdict(self), "tx_hash": to_hex(self.tx_hash)}


class Stakes:
    """Errands at a venue's stake contract; `PeerError` at a venue that has none."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._base = place.base
        self._contract = StakeDiscount(place.manifest.at(StakeDiscount))
        self._token = StableToken(place.manifest.token)

    def fund(
        self, account: Address, amount_minor: int, *, reference: str
    ) -> dict[str, Any] | Refusal:
        """Give an account tokens where the venue's token is the hub's own: a demo, a test."""
        if not 0 < amount_minor <= AMOUNT_MAX:
            return Refusal(ErrandRefusal.BAD_AMOUNT, f"give 1 to {AMOUNT_MAX} minor units")
        if self._token.owner().ask(self._place.client) != self._place.work.manager.sender:
            detail = "the token is not this hub's to make"
            return Refusal(ErrandRefusal.SHORT_OF_TOKENS, detail)
        errand = Referred(
            kind="errand/fund",
            party=account,
            asked={"amount": amount_minor},
            reference=reference,
            contract=self._token,
            function="mint",
        )
        intent = intent_of(self._place, errand)
        if isinstance(intent, Refusal):
            return intent
        tx_hash = self._do(intent, self._token.mint(account, amount_minor), errand.digest)
        held_minor = self._token.balance_of(account).ask(self._place.client)
        return {"account": account, "held_minor": held_minor, "tx_hash": to_hex(tx_hash)}

    def stake(
        self, signer: KeySigner, amount_minor: int, lock_s: int, *, reference: str
    ) -> Staked | Refusal:
        """Lock an account's tokens by its signature over amount and lock (ERC-3009)."""
        if not 0 < amount_minor <= AMOUNT_MAX:
            return Refusal(ErrandRefusal.BAD_AMOUNT, f"give 1 to {AMOUNT_MAX} minor units")
        errand = Referred(
            kind="errand/stake",
            party=signer.address,
            asked={"amount": amount_minor, "lock_s": lock_s},
            reference=reference,
            contract=self._contract,
            function="stake_with_authorization",
        )
        intent = intent_of(self._place, errand)
        if isinstance(intent, Refusal):
            return intent
        held_minor = self._token.balance_of(signer.address).ask(self._place.client)
        if held_minor < amount_minor and not self._is_known(intent):
            detail = f"{signer.address} has {held_minor} of {amount_minor}"
            return Refusal(ErrandRefusal.SHORT_OF_TOKENS, detail)
        call = self._stake_call(signer, amount_minor, lock_s, intent)
        return self._staked(signer.address, self._do(intent, call, errand.digest))

    def _stake_call(self, signer: KeySigner, amount_minor: int, lock_s: int, intent: Id) -> Call:
        given = Authorization(
            sender=signer.address,
            receiver=self._contract.address,
            amount_minor=amount_minor,
            valid_after_s=0,
            valid_before_s=self._until_s(),
            nonce=stake_authorization_nonce(lock_s, intent),
        )
        domain = self._token.signing_domain().ask(self._place.client)
        signature = signer.sign(receive_digest(domain, given)).octets
        return self._contract.stake_with_authorization(
            given, lock_s=lock_s, salt=intent, signature=signature
        )

    def extend(self, signer: KeySigner, lock_s: int, *, reference: str) -> Staked | Refusal:
        """Lock an account's stake anew by its signature."""
        errand = Referred(
            kind="errand/extend",
            party=signer.address,
            asked={"lock_s": lock_s},
            reference=reference,
            contract=self._contract,
            function="stake_by_signature",
        )
        intent = intent_of(self._place, errand)
        if isinstance(intent, Refusal):
            return intent
        call = self._extend_call(signer, lock_s)
        return self._staked(signer.address, self._do(intent, call, errand.digest))

    def _extend_call(self, signer: KeySigner, lock_s: int) -> Call:
        client, account = self._place.client, signer.address
        deadline_s = self._until_s()
        digest = stake_digest(
            self._contract.signing_domain(client.chain_id),
            account=account,
            amount_minor=0,
            lock_s=lock_s,
            nonce=self._contract.nonce(account).ask(client),
            deadline_s=deadline_s,
        )
        return self._contract.stake_by_signature(
            account=account,
            amount=0,
            lock_s=lock_s,
            deadline=deadline_s,
            signature=signer.sign(digest).octets,
        )

    def withdraw(self, account: Address, *, reference: str) -> Staked:
        """Send a stake home whose lock has ended, whoever asks."""
        intent = derive("errand/unstake", account, reference)
        return self._staked(account, self._do(intent, self._contract.withdraw(account)))

    def bind(self, subscriber: Subscriber, signer: KeySigner) -> Binding | Refusal:
        """Bind the account of a key to a subscriber, by the key's signature."""
        until_s = self._until_s()
        digest = bind_staker_digest(
            self._contract.signing_domain(self._place.client.chain_id),
            home=subscriber.home,
            party=subscriber.party_id,
            account=signer.address,
            valid_until_s=until_s,
        )
        self._follow()
        with self._base.store.write() as unit:
            return self._base.staking.bind(
                unit,
                subscriber,
                signer.sign(digest),
                contract=self._contract.address,
                valid_until_s=until_s,
                at_us=self._base.clock.now_us(),
            )

    def unbind(self, subscriber: PartyId) -> Binding | Refusal:
        """Give a subscriber's account up."""
        with self._base.store.write() as unit:
            at_us = self._base.clock.now_us()
            return self._base.staking.unbind(unit, subscriber, at_us=at_us)

    def status(self, account: Address) -> dict[str, Any]:
        """Say what an account has at stake now, and what the contract asks for which discount."""
        client = self._place.client
        stake = self._contract.stake_of(account).ask(client)
        tiers = self._contract.tiers().ask(client)
        carried = self._contract.tier_discount_ppm(stake.amount, stake.lock_s).ask(client)
        locked = self._base.clock.now_us() // SECOND_US < stake.unlock_at
        return {
            "contract": self._contract.address,
            "account": account,
            "amount_minor": stake.amount,
            "lock_s": stake.lock_s,
            "unlock_at_s": stake.unlock_at,
            "discount_ppm": carried if locked else 0,
            "total_minor": self._contract.total_staked().ask(client),
            "cap_ppm": self._contract.cap_ppm().ask(client),
            "tiers": [asdict(tier) for tier in tiers],
        }

    def _until_s(self) -> int:
        return self._base.clock.now_us() // SECOND_US + SIGNED_FOR_S

    def _is_known(self, intent: Id) -> bool:
        with self._base.store.read() as unit:
            return self._place.work.manager.find(unit, intent) is not None

    def _do(self, intent: Id, call: Call, asked: bytes = b"") -> bytes:
        with self._place.turn:
            done = self._place.work.do(intent, call, asked=asked)
        assert done.mined is not None, "what was waited for is mined"
        self._follow()
        return done.mined.tx_hash

    def _follow(self) -> None:
        assert self._place.stakes is not None, "the venue has a stake contract"
        self._place.stakes.follow(self._base.store.write)

    def _staked(self, account: Address, tx_hash: bytes) -> Staked:
        stake = self._contract.stake_of(account).ask(self._place.client)
        return Staked(
            account=account,
            amount_minor=stake.amount,
            lock_s=stake.lock_s,
            unlock_at_s=stake.unlock_at,
            tx_hash=tx_hash,
        )
