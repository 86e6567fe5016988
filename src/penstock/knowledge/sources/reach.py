"""Which addresses a source of web pages may ask: those of the hosts that its configuration names, and no other.

Pages and redirects choose addresses, and whoever writes them may try to reach what only this machine can reach. So
each address is held against the configured hosts before it is asked for, and what the host's name leads to is
checked where the connection is made, with the very address that is connected to: a name that leads elsewhere a
moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = {"http": 80, "https": 443}
LONGEST = 2000
HOLDS_IPV4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
"""IPv6 addresses that end in the IPv4 address that they stand for: translated ones, and compatible ones."""
LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
"""Translated by the network itself, to whatever it likes (RFC 8215)."""
LOOPBACK: tuple[Address, ...] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


class AddressRefused(OSError):
    """A connection to an address that is not public, which the configuration does not name."""


def normal(url: str | URL) -> URL | None:
    """An address in the one form that it is known by: without a fragment, user or default port. `None` for what is
    not of http or https, or too long to be meant."""
    try:
        parsed = URL(url) if isinstance(url, str) else url
        if parsed.scheme not in PORTS or not parsed.host or len(str(parsed)) > LONGEST:
            return None
        plain = parsed.with_fragment(None).with_user(None)
        plain = plain.with_path(plain.raw_path or "/", encoded=True, keep_query=True)
        port = parsed.explicit_port
        return plain.with_port(None if port == PORTS[parsed.scheme] else port)
    except ValueError:
        return None


class Reach:
    """What may be asked. `urls` are the configured addresses, `hosts` further ones as `host` or `host:port`."""

    def __init__(self, urls: Sequence[str], hosts: Sequence[str], *, allow_private: bool) -> None:
        configured = [URL(url) for url in urls]
        self._allow_private = allow_private
        self._origins = {origin for url in configured for origin in origins_of(url)}
        for host in hosts:
            self._origins.update(origins_of(URL(f"http://{host}")))
        self._named = {(address, port) for url in configured for address, port in literal(url)}

    def allows(self, url: URL) -> bool:
        """Whether the address is on a configured host."""
        return (url.host, url.port) in self._origins

    def open_socket(self, info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket for a connection to what a name was resolved to. Raises `AddressRefused`."""
        family, kind, protocol, _, (host, port, *_) = info
        address = ipaddress.ip_address(str(host).partition("%")[0])
        if not self._allow_private and not is_public(address) and (address, port) not in self._named:
            raise AddressRefused(
                f"{address} is an address of this machine or of a private network; allow_private permits those"
            )
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened


def origins_of(url: URL) -> set[tuple[str | None, int | None]]:
    """Host and ports: one that is written, else those of http and https."""
    ports = [url.explicit_port] if url.explicit_port and url.explicit_port not in PORTS.values() else PORTS.values()
    return {(url.host, port) for port in ports}


def literal(url: URL) -> list[tuple[Address, int]]:
    """The addresses that a configured address says outright, which its author has thus permitted."""
    if url.host == "localhost":
        return [(address, port) for address in LOOPBACK for _, port in origins_of(url) if port]
    try:
        address = ipaddress.ip_address(url.host or "")
    except ValueError:
        return []
    return [(address, port) for _, port in origins_of(url) if port]


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, also where it is an IPv4 address in the clothes of IPv6."""
    inner: Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo
        inner = address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
        if address in LOCAL_NAT64:
            return False
        if inner is None and any(address in network for network in HOLDS_IPV4):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if inner is not None and not is_public(inner):
        return False
    return address.is_global and not address.is_multicast if inner is None else True
