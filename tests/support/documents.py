"""Files for the loaders, made on the spot: small PDFs by hand, the others by the libraries that write them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Protocol

import docx
import openpyxl
import pypdfium2
from pptx import Presentation
from pptx.util import Inches


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


def scanned(data: bytes, dots_per_inch: int = 150) -> bytes:
    """A PDF as it comes out of a scanner: each page of this one as a picture, without its text."""
    source, target = pypdfium2.PdfDocument(data), pypdfium2.PdfDocument.new()
    for number in range(len(source)):
        width, height = source[number].get_size()
        picture = pypdfium2.PdfImage.new(target)
        picture.set_bitmap(source[number].render(scale=dots_per_inch / 72, grayscale=True))
        picture.set_matrix(pypdfium2.PdfMatrix().scale(width, height))
        page = target.new_page(width, height)
        page.insert_obj(picture)
        page.gen_content()
    return saved(target)


def together(*parts: bytes) -> bytes:
    """The pages of several PDFs in one."""
    target = pypdfium2.PdfDocument.new()
    for part in parts:
        target.import_pages(pypdfium2.PdfDocument(part))
    return saved(target)


def saved(document: "Savable") -> bytes:
    """What anything that can be saved to a file writes."""
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Savable(Protocol):
    def save(self, file: io.BytesIO) -> object: ...


def archive(entries: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return buffer.getvalue()


def handbook() -> bytes:
    """A Word document with headings, a list and a table with a merged cell."""
    document = docx.Document()
    document.core_properties.title = "Harbour handbook"
    document.core_properties.author = "Ann Keeper"
    document.add_heading("Rules", 1)
    document.add_paragraph("The harbour master decides.")
    document.add_heading("Moorings", 2)
    document.add_paragraph("ropes", style="List Bullet")
    document.add_paragraph("fenders", style="List Bullet")
    table = document.add_table(2, 3)
    for column, text in enumerate(("ship", "nights", "euros")):
        table.cell(0, column).text = text
    merged = table.cell(1, 0).merge(table.cell(1, 1))
    merged.text = "any"
    table.cell(1, 2).text = "12"
    return saved(document)


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]], hidden: Sequence[str] = ()) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in rows:
            sheet.append(list(row))
    return saved(book)


def deck() -> bytes:
    """Slides with a list and notes, with a table and a group, and a hidden one."""
    slides = Presentation()
    first = slides.slides.add_slide(slides.slide_layouts[1])
    first.shapes.title.text = "Harbour rules"
    first.placeholders[1].text = "Ships wait\nNobody enters"
    first.notes_slide.notes_text_frame.text = "Explain the radio."
    second = slides.slides.add_slide(slides.slide_layouts[5])
    second.shapes.title.text = "Fees"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for row, cells in enumerate((("ship", "euros"), ("any", "12"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(3), Inches(2), Inches(1)).text_frame.text = "Paid in advance."
    third = slides.slides.add_slide(slides.slide_layouts[5])
    third.shapes.title.text = "Draft"
    third._element.set("show", "0")
    return saved(slides)


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)


def book(chapters: Sequence[tuple[str, str]], extra: Mapping[str, bytes | str] | None = None) -> bytes:
    """An EPUB of chapters, each a title and a text, the spine in the opposite order of the manifest."""
    names = [f"c {number}.xhtml" for number in range(len(chapters))]
    items = "".join(
        f'<item id="i{number}" href="c%20{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in reversed(range(len(chapters)))
    )
    spine = "".join(f'<itemref idref="i{number}"/>' for number in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>The Harbour</dc:title><dc:creator>Ann Keeper</dc:creator><dc:language>en</dc:language>"
        f"</metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    pages = {
        f"OPS/{name}": f"<html><body><h1>{title}</h1><p>{text}</p></body></html>"
        for name, (title, text) in zip(names, chapters, strict=True)
    }
    return archive({"META-INF/container.xml": CONTAINER, "OPS/book.opf": package, **pages, **(extra or {})})


def mail(body: str, attachments: Mapping[str, bytes] | None = None, html: str = "") -> bytes:
    message = EmailMessage()
    message["From"] = "Ann Keeper <Ann@harbour.example>"
    message["To"] = "bob@ships.example, cy@ships.example"
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0100"
    message["Subject"] = "Häfen and fees"
    message.set_content(body)
    if html:
        message.add_alternative(html, subtype="html")
    for name, data in (attachments or {}).items():
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()
