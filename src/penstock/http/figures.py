"""The figures of several processes as those of one, in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Callable, Iterable

LEAST = frozenset({b"penstock_cache_up", b"penstock_target_up"})
"""What is 1 where all is well, and is so only where it is so for all."""
MOST = frozenset({b"penstock_target_first_token_seconds"})

HELP = b"# HELP "


def summed(texts: Iterable[bytes]) -> bytes:
    """Adds up what several processes counted; all of them have the same build."""
    heads: dict[bytes, list[bytes]] = {}
    families: dict[bytes, dict[bytes, float]] = {}
    family = b""
    for text in texts:
        for line in text.splitlines():
            if line.startswith(b"#"):
                if line.startswith(HELP):
                    family = line[len(HELP) :].partition(b" ")[0]
                head = heads.setdefault(family, [])
                if line not in head:
                    head.append(line)
                continue
            sample, _, value = line.rpartition(b" ")
            samples = families.setdefault(family, {})
            known = samples.get(sample)
            samples[sample] = float(value) if known is None else joined(family)((known, float(value)))
    lines = []
    for family, head in heads.items():
        lines += head
        lines += [b"%s %s" % (sample, repr(value).encode()) for sample, value in families.get(family, {}).items()]
    return b"\n".join(lines) + b"\n"


def joined(family: bytes) -> Callable[[tuple[float, float]], float]:
    if family in LEAST:
        return min
    return max if family in MOST else sum
