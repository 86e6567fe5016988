"""Addresses in `penstock.toml`: of http or https, with a host, and without a password."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def http_address(value: str, example: str, instead: str = "") -> SplitResult:
    """The parts of an address. Raises `ValueError`; `instead` names the setting that a password belongs in."""
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets, or a port, that are none
        whole = False
    if not whole:
        raise ValueError(f"must be an address such as {example!r}")
    if parts.username or parts.password:
        raise ValueError("must not hold a password" + (f"; use {instead}" if instead else ""))
    return parts
