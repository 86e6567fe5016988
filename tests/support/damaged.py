"""Files that want to do harm: cut short, with bytes changed, encrypted, nested without end, larger than they look.

Everything comes from a fixed seed. It stands alone, so that the benchmark of the parsers can use it as well.
"""

import io
import random
import struct
import zipfile
from collections.abc import Iterator, Mapping

CUTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
SHARES = (0.0005, 0.005, 0.05)
"""Of a file's bytes, changed at random."""
ROUNDS = 3
MEGABYTE = 1_000_000

LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
"""A document type whose entities are a thousand million words."""


def truncated(data: bytes) -> Iterator[tuple[str, bytes]]:
    for share in CUTS:
        yield f"cut-at-{share:.0%}", data[: int(len(data) * share)]


def fuzzed(data: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    dice = random.Random(seed)
    for share in SHARES:
        for number in range(ROUNDS):
            changed = bytearray(data)
            for _ in range(max(1, int(len(data) * share))):
                changed[dice.randrange(len(changed))] = dice.randrange(256)
            yield f"fuzz-{share}-{number}", bytes(changed)
    for number in range(ROUNDS):
        changed = bytearray(data)
        for _ in range(5):  # pieces moved, doubled and taken out
            low = dice.randrange(len(changed))
            piece = changed[low : low + dice.randrange(1, 400)]
            del changed[low : low + dice.choice((0, len(piece)))]
            at = dice.randrange(len(changed) + 1)
            changed[at:at] = piece
        yield f"shuffled-{number}", bytes(changed)


def inner_fuzzed(data: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """An archive that is whole, of parts that are not: what comes behind the check sums."""
    dice = random.Random(seed)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    names = [name for name, part in parts.items() if part]
    for number in range(3 * ROUNDS):
        changed = dict(parts)
        for name in dice.sample(names, min(len(names), 3)):
            part = bytearray(changed[name])
            for _ in range(max(1, len(part) // 200)):
                part[dice.randrange(len(part))] = dice.choice(b"<>/\"'& \x00\xffax09")
            changed[name] = bytes(part)
        yield f"inside-{number}", zipped(changed)
        gone = dict(parts)
        del gone[dice.choice(names)]
        yield f"without-a-part-{number}", zipped(gone)


def encrypted_archive(data: bytes) -> bytes:
    """An archive that says of its entries that they are encrypted."""
    changed = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(mark)
        while at >= 0:
            (flags,) = struct.unpack_from("<H", changed, at + offset)
            struct.pack_into("<H", changed, at + offset, flags | 1)
            at = changed.find(mark, at + 4)
    return bytes(changed)


def with_part(data: bytes, name: str, part: bytes) -> bytes:
    """An archive with one part in place of the one of that name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    return zipped({**parts, name: part})


def zipped(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def bomb(data: bytes, name: str, megabytes: int = 600) -> bytes:
    """An archive one part of which unpacks to so much; made in pieces, packed to a thousandth."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            if entry.filename != name:
                target.writestr(entry.filename, source.read(entry))
        with target.open(name, "w", force_zip64=True) as file:
            for _ in range(megabytes):
                file.write(b" " * MEGABYTE)
    return buffer.getvalue()


def saying(data: bytes, size: int) -> bytes:
    """An archive whose directory says that every entry unpacks to so many bytes."""
    changed = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = changed.find(mark)
        while at >= 0:
            struct.pack_into("<I", changed, at + offset, size)
            at = changed.find(mark, at + 4)
    return bytes(changed)


def nested_archive(depth: int = 50) -> bytes:
    data = b"the end"
    for number in range(depth):
        data = zipped({f"{number}.zip": data})
    return data
