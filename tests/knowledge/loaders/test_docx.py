"""Word documents: structure by styles, and files that only look like one."""

import io
import zipfile

import docx
import pytest
from support.documents import word

from penstock.knowledge.loaders.base import Unloadable
from penstock.knowledge.loaders.docx import load_docx
from penstock.knowledge.loaders.packages import OLE


def handbook() -> bytes:
    document = docx.Document()
    document.core_properties.title = "Harbour handbook"
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
    return word(document)


def test_paragraphs_headings_lists_and_tables_in_order() -> None:
    document = load_docx(handbook())
    assert document.title == "Harbour handbook"
    assert document.text == (
        "Rules\n\nThe harbour master decides.\n\nMoorings\n\n- ropes\n- fenders\n\nship | nights | euros\nany | 12"
    )
    assert [(block.kind, block.level) for block in document.blocks] == [
        ("heading", 1),
        ("paragraph", 0),
        ("heading", 2),
        ("paragraph", 0),
        ("paragraph", 0),
        ("table", 0),
    ]


def archive(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (OLE + b"\0" * 500 + "EncryptedPackage".encode("utf-16-le"), "encrypted", "password"),
        (OLE + b"\0" * 500, "corrupt", r"old file \(\.doc\)"),
        (handbook()[:2000], "corrupt", "not a whole Word document"),
        (b"plain text", "corrupt", "not a whole Word document, or none at all"),
        (archive(hello=b"x"), "corrupt", "not a whole Word document"),
        (archive(bomb=b"\0" * 401_000_000), "too_large", "unpacks to 401 MB"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, status: str, reason: str) -> None:
    with pytest.raises(Unloadable, match=reason) as caught:
        load_docx(data)
    assert caught.value.status == status
