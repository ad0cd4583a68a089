"""What all TLS conversations of one server share: contexts, resumption, and their number."""

from __future__ import annotations

from dataclasses import replace

from opencarrier.access.wire.eap import EapType
from opencarrier.access.wire.tls_material import MaterialSource, TlsLimits
from opencarrier.access.wire.tls_messages import Offer, first_offer
from opencarrier.access.wire.tls_resumption import Earned, Resumptions
from opencarrier.access.wire.tls_tunnel import TlsContext, Tunnel
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.refusals import PeerError


class TlsServer:
    """The TLS side of EAP for one thread: opens tunnels, within limits, and remembers sessions."""

    def __init__(self, source: MaterialSource, clock: Clock, limits: TlsLimits) -> None:
        self.limits = limits
        self.resumptions = Resumptions(entries_max=limits.resumptions_max)
        self._source = source
        self._clock = clock
        self._material = source.current()
        self._contexts: dict[int, TlsContext] = {}
        self._open: dict[Tunnel, str] = {}
        self._by_client: dict[str, dict[Tunnel, None]] = {}
        self.displaced = 0
        """How many conversations gave way to newer ones."""

    @property
    def offers_certificates(self) -> bool:
        """Whether client certificates can be judged: EAP-TLS is nothing without anchors."""
        return bool(self._material.anchors)

    @property
    def conversations(self) -> int:
        """How many tunnels are open."""
        return len(self._open)

    def open(self, method: int, outer: str, client: str, message: bytes) -> Tunnel:
        """Begin a tunnel with a peer's first message; where there is no room the oldest goes.

        It goes from among the client's own where that is at its bound, so a flood of beginnings
        keeps nobody out who answers at once.
        """
        offer = first_offer(message)
        self._make_room(client)
        self._refresh()
        tunnel = Tunnel(
            self._context(method),
            resumable=self._known(offer, method, outer),
            now_us=self._clock.now_us(),
        )
        self._open[tunnel] = client
        self._by_client.setdefault(client, {})[tunnel] = None
        return tunnel

    def close(self, tunnel: Tunnel, *, keep: bool = False) -> None:
        """End a tunnel; its session can be resumed where it is kept. Again is nothing."""
        tunnel.close(keep=keep)
        client = self._open.pop(tunnel, None)
        if client is None:
            return
        own = self._by_client[client]
        del own[tunnel]
        if not own:
            del self._by_client[client]

    def earned(self, tunnel: Tunnel, method: int, outer: str) -> Earned | None:
        """What the session a tunnel resumed was granted for; None where it is worth nothing."""
        name = tunnel.resumed
        assert name is not None
        return self.resumptions.find(name, method=method, outer=outer, now_us=self._clock.now_us())

    def remember(self, tunnel: Tunnel, earned: Earned) -> None:
        """Let what a tunnel handed out be resumed, now that its authentication was granted."""
        self.resumptions.enter(tunnel.names, earned)

    def expires_us(self, *, valid_until_us: int | None = None) -> int:
        """When a session earned now can be resumed no more."""
        end_us = self._clock.now_us() + self.limits.resumption_ttl_s * SECOND_US
        return end_us if valid_until_us is None else min(end_us, valid_until_us)

    def _make_room(self, client: str) -> None:
        own = self._by_client.get(client, {})
        if len(own) >= self.limits.conversations_per_client_max:
            oldest = next(iter(own))
        elif len(self._open) >= self.limits.conversations_max:
            oldest = next(iter(self._open))
        else:
            return
        self.close(oldest)
        self.displaced += 1

    def _known(self, offer: Offer, method: int, outer: str) -> bool:
        now_us = self._clock.now_us()
        names = (offer.session_id, *offer.keys)
        return any(
            self.resumptions.find(name, method=method, outer=outer, now_us=now_us) is not None
            for name in names
        )

    def _refresh(self) -> None:
        """Take new certificates into use: what the old ones vouched for is forgotten.

        A new response to staple to the same ones changes nothing of that.
        """
        material, before = self._source.current(), self._material
        if material is before:
            return
        self._material = material
        is_staple_alone = replace(material, staple=before.staple) == before != material
        if is_staple_alone:
            for context in self._contexts.values():
                context.staple(material)
            return
        self._contexts.clear()
        self.resumptions.clear()

    def _context(self, method: int) -> TlsContext:
        context = self._contexts.get(method)
        if context is None or context.handshakes >= self.limits.handshakes_per_context_max:
            context = TlsContext(
                self._material,
                name=b"eap-%d" % method,
                certified=method == EapType.TLS,
                ttl_s=self.limits.resumption_ttl_s,
            )
            self._contexts[method] = context
        return context


def realm_in(identity: bytes) -> str:
    """The lower-case realm of a network access identifier (RFC 7542), empty where there is none."""
    return split_identity(identity)[1]


def split_identity(identity: bytes) -> tuple[str, str]:
    """The lower-case user name and realm of an identity; `PeerError` where it is no text."""
    try:
        text = identity.decode()
    except UnicodeDecodeError:
        raise PeerError("identity_text") from None
    if not text.isprintable():
        raise PeerError("identity_text")
    user, _, realm = text.lower().rpartition("@") if "@" in text else (text.lower(), "", "")
    return user, realm
