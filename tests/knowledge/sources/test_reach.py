"""Which addresses may be asked."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from penstock.knowledge.sources.reach import AddressRefused, Reach, is_public, normal


def refuses(reach: Reach, address: str, port: int = 80) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        reach.open_socket((family, socket.SOCK_STREAM, 6, "", (address, port))).close()
    except AddressRefused:
        return True
    return False


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::",
    ],
)
def test_addresses_that_are_not_public_are_refused_in_every_form(address: str) -> None:
    assert refuses(Reach(["https://docs.example.com/"], [], allow_private=False), address)
    assert not is_public(ipaddress.ip_address(address))


def test_public_addresses_are_asked() -> None:
    reach = Reach(["https://docs.example.com/"], [], allow_private=False)
    for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"):
        assert not refuses(reach, address)


def test_a_literal_address_permits_itself_on_its_port_only() -> None:
    reach = Reach(["http://10.0.0.5:8080/wiki", "http://localhost:3000/"], [], allow_private=False)
    assert not refuses(reach, "10.0.0.5", 8080)
    assert refuses(reach, "10.0.0.5", 6379) and refuses(reach, "10.0.0.6", 8080)
    assert not refuses(reach, "127.0.0.1", 3000) and not refuses(reach, "::1", 3000)
    assert refuses(reach, "127.0.0.1", 8080)
    assert not refuses(Reach(["http://wiki.internal/"], [], allow_private=True), "10.0.0.6", 80)


def test_only_configured_hosts_and_ports_are_allowed() -> None:
    reach = Reach(["https://docs.example.com/a"], ["cdn.example.com", "x.example.com:8443"], allow_private=False)
    allowed = [
        "https://docs.example.com/b",
        "http://docs.example.com/",
        "https://cdn.example.com/",
        "https://x.example.com:8443/",
    ]
    refused = [
        "https://docs.example.com:8080/",
        "https://example.com/",
        "https://docs.example.com.evil.org/",
        "https://x.example.com/",
        "https://evil.org/?docs.example.com",
    ]
    assert [url for url in allowed if not reach.allows(URL(url))] == []
    assert [url for url in refused if reach.allows(URL(url))] == []


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("HTTPS://Docs.Example.com:443/A/../b#c", "https://docs.example.com/b"),
        ("http://me:secret@example.com:80", "http://example.com/"),
        ("http://example.com:8080/ä ö", "http://example.com:8080/%C3%A4%20%C3%B6"),
        ("https://example.com/?b=2&a=1", "https://example.com/?b=2&a=1"),
    ],
)
def test_an_address_has_one_form(written: str, known: str) -> None:
    assert str(normal(written)) == known


@pytest.mark.parametrize(
    "text",
    ["", "mailto:a@b.c", "/path", "ftp://x/", "http://", "http://[::1", "data:,x", "https://x/" + "y" * 2000],
)
def test_what_is_no_address_of_the_web_is_none(text: str) -> None:
    assert normal(text) is None


@given(st.text(max_size=40))
def test_anything_may_be_written_as_a_link(text: str) -> None:
    found = normal(text)
    assert found is None or (found.scheme in ("http", "https") and found.host and normal(str(found)) == found)
