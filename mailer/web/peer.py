"""From which address a request came, where our own proxies stand before us.

A header says whatever its sender likes, so X-Forwarded-For counts only as far as it was written by
proxies named in the settings: read from the right, the first hop that is not one of them.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from fastapi import Request

Address = IPv4Address | IPv6Address
_HOPS = 20  # of a header that anybody can have made longer


class Peers:
    """Tells people's addresses from those of our proxies."""

    def __init__(self, trusted: str) -> None:
        """`trusted` are addresses and networks, separated by spaces."""
        self._trusted = [ip_network(each, strict=False) for each in trusted.split()]

    def of(self, request: Request) -> str:
        """The address somebody asks from; "" where the server does not know."""
        peer = parsed(request.client.host if request.client else "")
        if peer is None:
            return ""
        hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        return str(self._beyond(peer, hops[-_HOPS:]))

    def _beyond(self, peer: Address, hops: Sequence[str]) -> Address:
        for hop in reversed(hops):
            if not self._is_ours(peer):
                return peer
            before = parsed(hop)
            if before is None:  # not something a proxy of ours would write
                return peer
            peer = before
        return peer

    def _is_ours(self, peer: Address) -> bool:
        return any(peer in network for network in self._trusted if network.version == peer.version)


def parsed(text: str) -> Address | None:
    """An address without port, brackets and zone, and IPv4 as such; None for what is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
