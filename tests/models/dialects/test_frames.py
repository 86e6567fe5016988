"""Event streams of AWS: frames survive any cut, and no wrong byte passes their checksums."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.models.dialects.bedrock.frames import MAX_FRAME, Frame, FrameBroken, FrameReader, encoded

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256)
frames = st.builds(
    Frame,
    st.dictionaries(names, st.text(st.characters(codec="utf-8"), max_size=30), max_size=4),
    st.binary(max_size=200),
)

# Header of type 7 (string) "content-type: application/json", payload {'foo':'bar'}: a vector of the AWS SDKs.
PUBLISHED = bytes.fromhex(
    "0000003d00000020"
    "07fd8396"
    "0c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
    "7b27666f6f273a27626172277d"
    "8d9c08b1"
)


def test_a_published_vector() -> None:
    frame = Frame({"content-type": "application/json"}, b"{'foo':'bar'}")
    assert encoded(frame) == PUBLISHED
    assert list(FrameReader().feed(PUBLISHED)) == [frame]


@given(st.lists(frames, max_size=4), st.integers(1, 50))
def test_frames_survive_any_cut(sent: list[Frame], size: int) -> None:
    data = b"".join(map(encoded, sent))
    reader = FrameReader()
    got = [frame for at in range(0, len(data), size) for frame in reader.feed(data[at : at + size])]
    assert got == sent
    assert not reader.pending


@given(frames, st.data())
def test_no_wrong_byte_passes(frame: Frame, data: st.DataObject) -> None:
    good = bytearray(encoded(frame))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    reader = FrameReader()
    try:
        got = list(reader.feed(bytes(good)))
    except (FrameBroken, OverflowError):
        return
    assert got == []  # longer than it says: the rest is waited for
    assert reader.pending


def test_what_is_too_large_or_makes_no_sense() -> None:
    def prelude(total: int, headers: int) -> bytes:
        numbers = struct.pack(">II", total, headers)
        return numbers + struct.pack(">I", zlib.crc32(numbers))

    with pytest.raises(OverflowError):
        list(FrameReader().feed(prelude(MAX_FRAME + 1, 0)))
    with pytest.raises(FrameBroken):
        list(FrameReader().feed(prelude(10, 0)))
    with pytest.raises(FrameBroken):
        list(FrameReader().feed(prelude(20, 1000)))


@pytest.mark.parametrize(
    "headers", [b"\x05name", b"\x01a\x07\xff\xff", b"\x01a\x2a", b"\x02\xff\xfe\x00", b"\x01a\x06"]
)
def test_broken_headers(headers: bytes) -> None:
    numbers = struct.pack(">II", 16 + len(headers), len(headers))
    body = numbers + struct.pack(">I", zlib.crc32(numbers)) + headers
    with pytest.raises(FrameBroken):
        list(FrameReader().feed(body + struct.pack(">I", zlib.crc32(body))))


def test_headers_of_other_types_are_passed_over() -> None:
    headers = b"\x01a\x00" + b"\x01b\x04\x00\x00\x00\x07" + b"\x01c\x06\x00\x02hi" + b"\x01d\x07\x00\x02ok"
    numbers = struct.pack(">II", 16 + len(headers), len(headers))
    body = numbers + struct.pack(">I", zlib.crc32(numbers)) + headers
    (frame,) = FrameReader().feed(body + struct.pack(">I", zlib.crc32(body)))
    assert frame.headers == {"d": "ok"}
