"""A file of counters, mapped into memory: what is counted is in the file with the same stroke.

The kernel keeps the pages when the process is killed, so not one admitted request is forgotten by kill -9, and none
is counted twice, without a write to wait for. `flush` brings them to the disk, against a power cut.

    record 0      magic, version
    record n      ends_us  previous  current  warned_us  length  spec (MessagePack, `length` bytes)

All numbers are signed 64-bit, little-endian. A record of length 0 is free; the length is written last.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from penstock.access.limits.values import CounterSpec
from penstock.errors import StorageError

MAGIC = b"penstock limits\n"
VERSION = 1
RECORD = 512
WORDS = RECORD // 8
ENDS, PREVIOUS, CURRENT, WARNED, LENGTH, SPEC = range(6)
"""The words of a record."""
ROOM = RECORD - SPEC * 8
FIRST_RECORDS = 256


class Kept(Struct, frozen=True):
    """A counter as the file has it; `at` is the word that its record begins with."""

    at: int
    spec: CounterSpec
    ends_us: int
    previous: int
    current: int
    warned_us: int


class Cells:
    """The mapped file. `words` is its memory, a signed 64-bit number per item; it is another one after `add`."""

    def __init__(self, path: Path) -> None:
        if sys.byteorder != "little":
            raise StorageError("Limits are kept in a format for little-endian machines, and this is none.")
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._prepare()
        except BaseException:
            os.close(self._file)
            raise
        self._map()
        self._free = [at for at in range(WORDS, len(self.words), WORDS) if not self.words[at + LENGTH]]
        self._free.reverse()

    def _prepare(self) -> None:
        """Raises `StorageError` for a file that is something else."""
        size = os.fstat(self._file).st_size
        head = os.pread(self._file, RECORD, 0)
        if not size:
            os.ftruncate(self._file, FIRST_RECORDS * RECORD)
            os.pwrite(self._file, MAGIC + struct.pack("<q", VERSION), 0)
            return
        if head[: len(MAGIC)] not in (MAGIC, bytes(len(MAGIC))) or size % RECORD:
            raise StorageError(
                f"{self.path} does not hold limits.", hint="Move it away; what was used is then counted anew."
            )
        (version,) = struct.unpack_from("<q", head, len(MAGIC))
        if version > VERSION:
            raise StorageError(
                f"{self.path} was written by a newer Penstock (format {version}, this one knows {VERSION}).",
                hint="Upgrade Penstock, or move the file away; what was used is then counted anew.",
            )
        os.pwrite(self._file, MAGIC + struct.pack("<q", VERSION), 0)  # a kill may have come before the first time

    def _map(self) -> None:
        self._memory = mmap.mmap(self._file, 0)
        self.words = memoryview(self._memory).cast("q")

    def kept(self) -> Iterator[Kept]:
        """What the file has; records that cannot be read are freed."""
        decoder = msgspec.msgpack.Decoder(CounterSpec)
        for at in range(WORDS, len(self.words), WORDS):
            ends, previous, current, warned, length = self.words[at : at + SPEC]
            if not length:
                continue
            try:
                start = (at + SPEC) * 8
                spec = decoder.decode(self._memory[start : start + min(length, ROOM)])
            except msgspec.MsgspecError:
                self.free(at)
                continue
            yield Kept(at, spec, ends, previous, current, warned)

    def add(self, spec: CounterSpec, ends_us: int) -> int | None:
        """Makes a record and gives the word that it begins with; `None` for a spec too long to be kept."""
        data = msgspec.msgpack.encode(spec)
        if len(data) > ROOM:
            return None
        if not self._free:
            self._grow()
        at = self._free.pop()
        struct.pack_into("<4q", self._memory, at * 8, ends_us, 0, 0, 0)
        start = (at + SPEC) * 8
        self._memory[start : start + len(data)] = data
        self.words[at + LENGTH] = len(data)
        return at

    def turn(self, at: int, ends_us: int, previous: int) -> None:
        """Begins a new stretch with a current count of nothing, in one stroke."""
        struct.pack_into("<3q", self._memory, at * 8, ends_us, previous, 0)

    def free(self, at: int) -> None:
        self.words[at + LENGTH] = 0
        self._free.append(at)

    def flush(self) -> None:
        """Brings what was counted to the disk. Takes milliseconds: call it in a thread."""
        os.fsync(self._file)  # and not the mapping's own flush, for `add` may map the file anew meanwhile

    def close(self) -> None:
        self._memory.flush()
        self._unmap()
        os.close(self._file)

    def _grow(self) -> None:
        before = len(self.words)
        self._unmap()
        os.ftruncate(self._file, before * 8 * 2)
        self._map()
        self._free = list(range(before * 2 - WORDS, before - WORDS, -WORDS))

    def _unmap(self) -> None:
        self.words.release()
        self._memory.close()
