"""Which hosts a feed may be fetched from: those of the public internet. Does not belong here: fetching.

A host is judged by the addresses it has, never by its name. What counts as public are the ranges that IANA's registries
of special-purpose addresses leave over; the standard library knows most of them, and what its version may lack is
listed here.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_SPECIAL = (
    IPv4Network("168.63.129.16/32"),  # serves a virtual machine's secrets in one cloud, at a public address
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2002::/16"),  # 6to4: an IPv4 address in disguise
    IPv6Network("3fff::/20"),  # documentation
    IPv6Network("5f00::/16"),  # segment routing
)


def normal_host(host: str) -> str:
    """The one spelling of a host that is judged, resolved and sent: lower case, ASCII.

    Names outside ASCII get their IDNA form. An address must be spelt in the usual way: ``2130706433``, ``0x7f.1`` and
    ``0177.0.0.1`` are all 127.0.0.1 to some resolver.

    Raises:
        ValueError: it is neither a name nor a usually spelt address.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone belongs to one network card")
        return str(IPv6Address(host))
    name = host.removesuffix(".").lower()
    if not name.isascii():
        # UnicodeError is a ValueError.
        name = name.encode("idna").decode("ascii")
    if not _HOST.fullmatch(name):
        raise ValueError("it is no host name")
    # As browsers have it: a name whose last label is a number is an address.
    return str(IPv4Address(name)) if _NUMBER.fullmatch(name.rpartition(".")[2]) else name


def is_public(address: str) -> bool:
    """Whether an address is one host of the public internet, whatever form of IPv6 wraps it."""
    # A zone is cut off by nobody: such an address is link-local and not public anyway.
    return _is_public(ip_address(address))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)
