"""Word documents: structure by styles, and files that only look like one."""

import pytest
from support.documents import archive, handbook

from penstock.knowledge.loaders.base import Unloadable
from penstock.knowledge.loaders.docx import load_docx
from penstock.knowledge.loaders.packages import OLE


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


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (OLE + b"\0" * 500 + "EncryptedPackage".encode("utf-16-le"), "encrypted", "password"),
        (OLE + b"\0" * 500, "corrupt", r"old file \(\.doc\)"),
        (handbook()[:2000], "corrupt", "not a whole Word document"),
        (b"plain text", "corrupt", "not a whole Word document, or none at all"),
        (archive({"hello": b"x"}), "corrupt", "not a whole Word document"),
        (archive({"bomb": b"\0" * 401_000_000}), "too_large", "unpacks to 401 MB"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, status: str, reason: str) -> None:
    with pytest.raises(Unloadable, match=reason) as caught:
        load_docx(data)
    assert caught.value.status == status
