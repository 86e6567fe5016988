"""Files that want to do harm, each through the process that reads files: every one ends in a true status.

For each kind: a good file, the same cut short, with bytes changed by a fixed seed, encrypted, nested without end,
and larger than it looks. A status is true when it is one that the damage allows, says why, and has a text if and
only if the document can be found. No file may take more time or memory than it is given.

    python benchmarks/parsing.py [kind …]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.loaders.kinds import Kind, parser_of
from penstock.knowledge.loaders.messages import ReadRequest, ReadResult
from penstock.knowledge.loaders.process import FileReader
from penstock.knowledge.values import FINDABLE, KnowledgeOptions

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "support"))  # its modules, not the package: there is one here by the same name

import damaged  # noqa: E402
import documents  # noqa: E402

SECONDS = 20.0
MEMORY = 1 << 30
FILE = 60_000_000
GRACE = 2.0
"""Seconds that starting a reader anew may take after it was killed."""
LOOK = 0.02
ARCHIVES: tuple[Kind, ...] = ("docx", "pptx", "xlsx", "epub")
ANY = frozenset(("ok", "ocr", "partial", "no_text", "encrypted", "corrupt", "too_large", "timeout"))
READ = frozenset(("ok", "ocr"))
BROKEN = frozenset(("corrupt",))
LOCKED = frozenset(("encrypted",))
HOSTILE = frozenset(("corrupt", "too_large", "partial"))
BOUNDED = frozenset(("ok", "partial", "too_large", "timeout", "corrupt"))

FEES = [["ship", "euros", "note"], *([f"ship {n}", n * 12, "paid in advance, as all of them"] for n in range(200))]
TEXT = "The harbour master decides whether a ship may enter, and nobody else does. Ships wait outside. " * 40


class Sample(Struct, frozen=True):
    """A file, what was done to it, and the statuses that are true of it."""

    kind: Kind
    name: str
    data: bytes
    allowed: frozenset[str]


class Ended(Struct, frozen=True):
    """How the reading of a file ended, in seconds and bytes of memory; `wrong` is what is not as it must be."""

    sample: Sample
    status: str
    seconds: float
    memory: int
    wrong: str


def good() -> dict[Kind, bytes]:
    """A file of each kind that can be read."""
    lines = [(12, f"Paragraph {n} says that all ships obey the harbour master.") for n in range(30)]
    pages = [[(24, f"Chapter {n}"), *lines] for n in range(4)]
    rows = "\n".join(",".join(map(str, row)) for row in FEES)
    records = [{"title": f"Ship {n}", "fee": n, "note": {"text": "paid", "tags": ["a", "b"]}} for n in range(80)]
    return {
        "text": f"Harbour\n=======\n\n{TEXT}".encode(),
        "markdown": f"---\ntags: [a, b]\n---\n# Harbour\n\n{TEXT}\n\n- one\n\n| a | b |\n|-|-|\n".encode(),
        "rst": f"Harbour\n=======\n\n{TEXT}\n\n.. note::\n\n   {TEXT}\n\n* one\n* two\n".encode(),
        "html": f"<html><body><h1>Harbour</h1><p>{TEXT}</p><table><tr><td>a<td>b</table></body></html>".encode(),
        "pdf": documents.pdf(pages),
        "docx": documents.handbook(),
        "pptx": documents.deck(),
        "xlsx": documents.workbook({"Fees": FEES, "More": FEES}),
        "csv": rows.encode(),
        "json": json.dumps(records).encode(),
        "jsonl": "\n".join(map(json.dumps, records)).encode(),
        "eml": documents.mail(TEXT, {"fees.csv": rows.encode(), "rules.pdf": documents.pdf(pages)}, "<p>Hello</p>"),
        "epub": documents.book([(f"Chapter {n}", TEXT) for n in range(10)]),
        "code": (ROOT / "src/penstock/process.py").read_bytes(),
    }


def samples() -> Iterator[Sample]:
    whole = good()
    for kind, data in whole.items():
        yield Sample(kind, "good", data, READ)
        yield Sample(kind, "empty", b"", frozenset(("no_text",)))
        for name, cut in damaged.truncated(data):
            yield Sample(kind, name, cut, when_cut(kind))
        for name, changed in damaged.fuzzed(data, seed=4):
            yield Sample(kind, name, changed, ANY)
    for kind in ARCHIVES:
        yield from hostile_archives(kind, whole[kind])
    yield from hostile_pdfs(whole["pdf"])
    yield from hostile_texts()
    yield from hostile_mails(whole["eml"])


def when_cut(kind: Kind) -> frozenset[str]:
    """Nobody can tell a text from its first half; an archive, a value or a PDF says where it ends."""
    if kind in ARCHIVES or kind == "json":
        return BROKEN
    return frozenset(("corrupt", "partial", "no_text")) if kind == "pdf" else ANY - LOCKED


def hostile_archives(kind: Kind, data: bytes) -> Iterator[Sample]:
    part = {"docx": "word/document.xml", "pptx": "ppt/slides/slide1.xml", "xlsx": "xl/worksheets/sheet1.xml"}
    main = part.get(kind, "OPS/c 0.xhtml")
    for name, changed in damaged.inner_fuzzed(data, seed=4):
        yield Sample(kind, name, changed, ANY)
    yield Sample(kind, "encrypted", damaged.encrypted_archive(data), LOCKED)
    yield Sample(kind, "bomb", damaged.bomb(data, main), frozenset(("too_large",)))
    yield Sample(kind, "bomb-of-pictures", damaged.bomb(data, "media/a.bin"), frozenset(("too_large",)))
    yield Sample(kind, "understated", damaged.saying(data, 10), HOSTILE)
    yield Sample(kind, "laughs", damaged.with_part(data, main, laughing(kind)), HOSTILE | READ)
    yield Sample(kind, "nested", damaged.nested_archive(), BROKEN)
    yield Sample(kind, "many-parts", damaged.zipped({f"{n}.xml": b"<a/>" for n in range(25_000)}), HOSTILE)
    deep = b"<a>" * 200_000
    yield Sample(kind, "deep-xml", damaged.with_part(data, main, deep), HOSTILE | READ)
    yield Sample(kind, "no-archive", b"PK\x03\x04 and no more", BROKEN)
    if kind != "epub":
        yield Sample(kind, "password", documents.OLE + b"\0" * 512 + "EncryptedPackage".encode("utf-16-le"), LOCKED)
    if kind == "xlsx":
        yield Sample(kind, "huge", documents.workbook({"Fees": FEES * 500}), BOUNDED)
        far = data_of_far_cell(data)
        yield Sample(kind, "far-cell", far, BOUNDED)
    if kind == "docx":
        body = "".join(f"<w:p><w:r><w:t>{TEXT}</w:t></w:r></w:p>" for _ in range(10_000))
        yield Sample(kind, "huge", damaged.with_part(data, main, word_of(body)), BOUNDED)
    if kind == "epub":
        yield Sample(kind, "huge", documents.book([(f"Chapter {n}", TEXT) for n in range(5_000)]), BOUNDED)


def word_of(body: str) -> bytes:
    name = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return f'<w:document xmlns:w="{name}"><w:body>{body}</w:body></w:document>'.encode()


def data_of_far_cell(data: bytes) -> bytes:
    """A sheet whose only cell is in its last row and column."""
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    cell = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row>'
    sheet = f'<worksheet xmlns="{name}"><dimension ref="A1:XFD1048576"/><sheetData>{cell}</sheetData></worksheet>'
    return damaged.with_part(data, "xl/worksheets/sheet1.xml", sheet.encode())


def laughing(kind: Kind) -> bytes:
    return f"<?xml version='1.0'?>{damaged.LAUGHS}]><html><body><p>&a9;</p></body></html>".encode()


def hostile_pdfs(data: bytes) -> Iterator[Sample]:
    page = [[(12, "All ships obey the harbour master, who decides.")]]
    yield Sample("pdf", "encrypted", documents.pdf(page, encrypted=True), LOCKED)
    yield Sample("pdf", "blank", documents.pdf([[]]), frozenset(("no_text",)))
    scan = documents.scanned(documents.pdf(page))
    read = "ocr" if "tesseract" in parser_of("pdf") else "no_text"
    yield Sample("pdf", "scanned", scan, frozenset((read,)))
    mixed = frozenset(("ocr" if read == "ocr" else "partial",))
    yield Sample("pdf", "partly-scanned", documents.together(data, scan), mixed)
    yield Sample("pdf", "many-scans", documents.together(*[scan] * 60), frozenset((read, "partial", "timeout")))
    yield Sample(
        "pdf",
        "huge",
        documents.pdf([[(12, f"Line {n} of page {m}.") for n in range(50)] for m in range(2_000)]),
        BOUNDED,
    )
    loop = data.replace(b"/Kids [10 0 R", b"/Kids [2 0 R 10 0 R", 1)
    yield Sample("pdf", "pages-in-a-circle", loop, ANY)
    yield Sample("pdf", "million-pages", data.replace(b"/Count 4", b"/Count 1000000", 1), ANY)
    yield Sample(
        "pdf", "deep-arrays", data.replace(b"/MediaBox [", b"/X " + b"[" * 100_000 + b"/MediaBox [", 1), ANY
    )
    yield Sample("pdf", "page-of-a-mile", data.replace(b"[0 0 600 800]", b"[0 0 9e9 9e9]"), ANY)


def hostile_texts() -> Iterator[Sample]:
    million = 1_000_000
    yield Sample("html", "deep", b"<div>" * million + b"end", BOUNDED)
    yield Sample("html", "deep-tables", b"<table><tr><td>" * 5_000 + b"end", BOUNDED)
    yield Sample("html", "deep-lists", b"<ul><li>a" * 50_000, BOUNDED)
    yield Sample("html", "attributes", b"<p " + b"a=b " * million + b">x</p>", BOUNDED)
    yield Sample("html", "huge", f"<h2>a</h2><p>{TEXT}</p>".encode() * 10_000, BOUNDED)
    yield Sample("markdown", "deep-quotes", b"> " * 20_000 + b"a", BOUNDED | {"no_text"})
    yield Sample("markdown", "deep-lists", b"\n".join(b" " * n * 2 + b"- a" for n in range(2_000)), BOUNDED)
    yield Sample("markdown", "brackets", b"[" * 50_000 + b"](a)" * 50_000, BOUNDED)
    yield Sample("markdown", "stars", b"*a **b " * 100_000, BOUNDED)
    yield Sample("markdown", "laughs", yaml_laughs(), BOUNDED)
    yield Sample("markdown", "huge", f"## a\n\n{TEXT}\n\n".encode() * 10_000, BOUNDED)
    yield Sample("rst", "deep", b"\n\n".join(b"   " * n + b".. note::" for n in range(2_000)), BOUNDED)
    yield Sample("rst", "backticks", b"`a <" * 200_000, BOUNDED)
    yield Sample("rst", "stars", b"*a **b " * 100_000, BOUNDED)
    yield Sample("rst", "huge", f"Head\n----\n\n{TEXT}\n\n".encode() * 10_000, BOUNDED)
    yield Sample("json", "deep", b"[" * million, BROKEN)
    yield Sample("json", "deep-and-whole", b"[" * 900 + b"1" + b"]" * 900, BOUNDED)
    yield Sample("json", "long-number", b"[" + b"9" * 10 * million + b"]", BOUNDED)
    yield Sample(
        "json", "huge", json.dumps([{"title": f"Ship {n}", "fee": n} for n in range(400_000)]).encode(), BOUNDED
    )
    yield Sample("jsonl", "huge", b'{"title": "Ship", "fee": 12}\n' * 1_000_000, BOUNDED)
    yield Sample("csv", "endless-line", b"a,b\n" + b"x," * 20 * million, BOUNDED)
    yield Sample("csv", "open-quote", b'a,b\n1,"' + b"x,\n" * 10 * million, BOUNDED)
    yield Sample("csv", "quotes", b'"' * 40 * million, BOUNDED)
    yield Sample("csv", "huge", b"name,city,fee\n" + b"Anna,Berlin,12\n" * 2_000_000, BOUNDED)
    yield Sample("code", "one-line", b"function a(){return 1};" * million, BOUNDED)
    yield Sample("code", "identifier", b"a" * 30 * million, BOUNDED)
    yield Sample("text", "huge", TEXT.encode() * 12_000, BOUNDED)
    yield Sample("text", "one-word", b"a" * 50 * million, BOUNDED)
    yield Sample("text", "underlines", b"a\n---\n" * 5 * million, BOUNDED)
    yield Sample("text", "zeros", bytes(million), BROKEN)
    yield Sample("text", "too-large", b"a " * (FILE // 2 + 1), frozenset(("too_large",)))


def yaml_laughs() -> bytes:
    """Front matter whose aliases stand for a thousand million words."""
    lines = ["a0: &a0 [ha, ha]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return ("---\n" + "\n".join(lines) + "\n---\n# Harbour\n\nText.\n").encode()


def hostile_mails(data: bytes) -> Iterator[Sample]:
    nested = data
    for _ in range(30):
        nested = documents.mail("See below.", {"forwarded.eml": nested})
    yield Sample("eml", "mails-in-mails", nested, BOUNDED)
    parts = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(5_000))
    yield Sample("eml", "deep-parts", b"From: a@b.c\nSubject: x\nMIME-Version: 1.0\n" + parts, BOUNDED)
    yield Sample(
        "eml",
        "bomb",
        documents.mail("See.", {"a.docx": damaged.bomb(documents.handbook(), "word/document.xml")}),
        frozenset(("partial",)),
    )
    locked = documents.pdf([[(12, "Secret")]], encrypted=True)
    yield Sample("eml", "locked-attachment", documents.mail("See.", {"a.pdf": locked}), frozenset(("partial",)))
    yield Sample("eml", "headers", b"From: a@b.c\n" + b"Received: x\n" * 1_000_000 + b"\nText", BOUNDED)
    yield Sample("eml", "long-address", b"From: " + b"<a@b.c>, (" * 100_000 + b"\nSubject: x\n\nText", BOUNDED)


class Watch:
    """The most memory that a reader and the program that it started held while a file was read, in bytes."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        self.most = 0

    async def run(self) -> None:
        while True:
            pid = self._reader._child.pid
            if pid is not None:
                self.most = max(self.most, *(resident(each) for each in [pid, *children(pid)]))
            await asyncio.sleep(LOOK)


def resident(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError, ValueError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


async def read(reader: FileReader, sample: Sample, path: Path) -> Ended:
    await asyncio.to_thread(path.write_bytes, sample.data)
    watch = Watch(reader)
    watching = asyncio.create_task(watch.run())
    started = time.perf_counter()
    result = await reader.read(ReadRequest(path=os.fsencode(path), kind=sample.kind, chunking=ChunkOptions()))
    seconds = time.perf_counter() - started
    watching.cancel()
    wrong = "; ".join(wrongs(sample, result, seconds, watch.most))
    return Ended(sample, result.status, seconds, watch.most, wrong)


def wrongs(sample: Sample, result: ReadResult, seconds: float, memory: int) -> Iterator[str]:
    if result.status not in sample.allowed:
        yield f"ended as {result.status}, not as {' or '.join(sorted(sample.allowed))}"
    if result.status != "ok" and len(result.reason) < 10:
        yield "does not say why"
    if (result.status in FINDABLE) != bool(result.text.strip() and result.passages):
        yield f"{len(result.text)} characters and {len(result.passages)} passages"
    if any(not result.text[each.start : each.end].strip() for each in result.passages):
        yield "an empty passage"
    if seconds > SECONDS + GRACE:
        yield f"took {seconds:.1f} s"
    if memory > MEMORY:
        yield f"took {memory / 1e6:.0f} MB"


async def main(kinds: Sequence[str]) -> int:
    options = KnowledgeOptions(parse_seconds=SECONDS, parse_memory_bytes=MEMORY, max_file_bytes=FILE)
    reader = FileReader(options)
    ended: list[Ended] = []
    with tempfile.TemporaryDirectory() as folder:
        for sample in samples():
            if kinds and sample.kind not in kinds:
                continue
            one = await read(reader, sample, Path(folder) / "file")
            ended.append(one)
            if one.wrong or one.seconds > SECONDS / 4:
                print(
                    f"{sample.kind:9}{sample.name:22}{one.status:11}{one.seconds:6.1f} s  {one.wrong}", flush=True
                )
    await reader.stop()
    return report(ended)


def report(ended: Sequence[Ended]) -> int:
    figures: dict[str, object] = {"files": len(ended), "statuses": dict(Counter(one.status for one in ended))}
    print(f"\n{'kind':10}{'files':>6}{'slowest':>10}{'memory':>10}  statuses")
    for kind in dict.fromkeys(one.sample.kind for one in ended):
        of_kind = [one for one in ended if one.sample.kind == kind]
        slowest = max(of_kind, key=lambda one: one.seconds)
        largest = max(one.memory for one in of_kind)
        statuses = dict(Counter(one.status for one in of_kind).most_common())
        shown = ", ".join(f"{status} {count}" for status, count in statuses.items())
        print(f"{kind:10}{len(of_kind):6}{slowest.seconds:8.1f} s{largest / 1e6:7.0f} MB  {shown}")
        figures[kind] = {
            "files": len(of_kind),
            "statuses": statuses,
            "slowest s": round(slowest.seconds, 1),
            "slowest": slowest.sample.name,
            "most MB": round(largest / 1e6),
        }
    wrong = [one for one in ended if one.wrong]
    goals = [
        {"name": "files without a true status, or over a limit", "goal": 0, "value": len(wrong), "met": not wrong}
    ]
    print(json.dumps({"name": "parsing", "figures": figures, "ratios": {}, "goals": goals}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
