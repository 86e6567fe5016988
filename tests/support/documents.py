"""Files for the loaders, made on the spot: small PDFs written by hand, Word documents by python-docx."""

import io
from collections.abc import Sequence

import docx


def pdf(
    pages: Sequence[Sequence[tuple[int, str]]],
    *,
    title: str = "",
    contents: Sequence[tuple[str, int]] = (),
    encrypted: bool = False,
) -> bytes:
    """A PDF of pages of lines, each a font size and ASCII text; `contents` are bookmarks with their page index."""
    objects: dict[int, bytes] = {}
    page_ids = [10 + 2 * number for number in range(len(pages))]
    kids = " ".join(f"{page} 0 R" for page in page_ids)
    outlines = "/Outlines 5 0 R /PageMode /UseOutlines" if contents else ""
    objects[1] = f"<< /Type /Catalog /Pages 2 0 R {outlines} >>".encode()
    objects[2] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode()
    objects[3] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects[4] = f"<< /Title ({title}) >>".encode()
    for page, lines in zip(page_ids, pages, strict=True):
        objects[page] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {page + 1} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        ).encode()
        drawn = [f"/F1 {size} Tf 0 {-round(size * 1.5)} Td ({text}) Tj" for size, text in lines]
        stream = ("BT 50 780 Td " + " ".join(drawn) + " ET").encode()
        objects[page + 1] = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream)
    if contents:
        first = 100
        objects[5] = (
            f"<< /First {first} 0 R /Last {first + len(contents) - 1} 0 R /Count {len(contents)} >>".encode()
        )
        for number, (name, page) in enumerate(contents):
            neighbours = f"/Next {first + number + 1} 0 R" if number + 1 < len(contents) else ""
            neighbours += f" /Prev {first + number - 1} 0 R" if number else ""
            target = f"[{page_ids[page]} 0 R /Fit]"
            objects[first + number] = f"<< /Title ({name}) /Parent 5 0 R /Dest {target} {neighbours} >>".encode()
    if encrypted:
        # The digests are of no password, so none opens it, least of all the empty one.
        secret = "ab" * 32
        objects[6] = f"<< /Filter /Standard /V 1 /R 2 /O <{secret}> /U <{secret}> /P -4 >>".encode()
    return _assemble(objects, encrypted)


def _assemble(objects: dict[int, bytes], encrypted: bool) -> bytes:
    data = bytearray(b"%PDF-1.4\n")
    offsets: dict[int, int] = {}
    for number in sorted(objects):
        offsets[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start = len(data)
    data += b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in offsets.items():
        data += b"%d 1\n%010d 00000 n \n" % (number, offset)
    extra = b"/Encrypt 6 0 R /ID [<00> <00>]" if encrypted else b""
    data += b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R %s >>\n" % (max(objects) + 1, extra)
    data += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(data)


def word(document: "docx.document.Document") -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()
