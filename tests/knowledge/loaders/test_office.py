"""PowerPoint, Excel and EPUB: their structure, and archives that are not what they look like."""

import datetime

import pytest
from support import damaged
from support.documents import OLE, archive, book, deck, handbook, workbook

from penstock.knowledge.loaders.base import LoadedDocument, Unloadable
from penstock.knowledge.loaders.docx import load_docx
from penstock.knowledge.loaders.epub import load_epub
from penstock.knowledge.loaders.places import Locator
from penstock.knowledge.loaders.pptx import load_pptx
from penstock.knowledge.loaders.xlsx import load_xlsx

FEES = [
    ["Fees of 2026"],
    [],
    ["ship", "nights", "paid", "since", "euros"],
    ["ferry", 2, True, datetime.date(2026, 1, 2), 1.1 + 2.2],
    ["boat", None, False, datetime.datetime.fromisoformat("2026-01-02 10:30"), 12.0],
]
CHAPTERS = [("The Storm", "Wind came up."), ("The Calm", "It went.")]


def located(document: LoadedDocument) -> list[tuple[str, str]]:
    locator = Locator(document.text, document.places)
    return [
        (document.text[block.start : block.end], locator.location(block.start, block.end))
        for block in document.blocks
    ]


def test_a_sheet_is_a_section_whose_rows_say_their_columns() -> None:
    document = load_xlsx(workbook({"Fees": FEES, "Empty": [], "Secret": [["a", "b"]]}, hidden=["Secret"]))
    assert located(document) == [
        ("Fees", "sheet Fees"),
        ("Fees of 2026", "sheet Fees, row 1"),
        ("ship | nights | paid | since | euros", "sheet Fees, row 3"),
        ("ship: ferry; nights: 2; paid: TRUE; since: 2026-01-02; euros: 3.3", "sheet Fees, row 4"),
        ("ship: boat; paid: FALSE; since: 2026-01-02 10:30; euros: 12", "sheet Fees, row 5"),
    ]
    assert document.status == "ok"


def test_formulas_without_a_value_are_said_to_be_missing() -> None:
    document = load_xlsx(workbook({"Fees": [["ship", "euros"], ["ferry", "=1+2"], ["boat", "=2+3"]]}))
    assert document.status == "partial"
    assert document.reason.startswith("2 formulas have no value. Open it in Excel and save it")


def test_slides_with_tables_groups_and_notes() -> None:
    document = load_pptx(deck())
    assert located(document) == [
        ("Harbour rules", "slide 1"),
        ("- Ships wait", "slide 1"),
        ("- Nobody enters", "slide 1"),
        ("Notes: Explain the radio.", "slide 1"),
        ("Fees", "slide 2"),
        ("ship | euros\nany | 12", "slide 2"),
        ("Paid in advance.", "slide 2"),
    ]
    assert document.title == "Harbour rules"


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    document = load_epub(book(CHAPTERS))
    assert document.title == "The Harbour"
    assert document.metadata == {"author": "Ann Keeper", "language": "en"}
    assert located(document) == [
        ("The Storm", "chapter “The Storm”"),
        ("Wind came up.", "chapter “The Storm”"),
        ("The Calm", "chapter “The Calm”"),
        ("It went.", "chapter “The Calm”"),
    ]


def test_a_missing_chapter_makes_a_book_partial() -> None:
    whole = book(CHAPTERS)
    broken = damaged.with_part(whole, "OPS/c 0.xhtml", b"")
    assert "The Storm" not in load_epub(broken).text
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(whole)) as source:
        parts = {name: source.read(name) for name in source.namelist() if name != "OPS/c 1.xhtml"}
    document = load_epub(archive(parts))
    assert (document.status, document.reason) == (
        "partial",
        "1 of its chapters could not be read: OPS/c 1.xhtml. Get it again.",
    )
    assert document.text == "The Storm\n\nWind came up."


def test_a_protected_book_is_encrypted_and_one_with_hidden_fonts_is_not() -> None:
    listed = '<encryption><EncryptedData><CipherReference URI="OPS/{}"/></EncryptedData></encryption>'
    for quoted in (listed, listed.replace('"', "'")):
        with pytest.raises(Unloadable, match="protected against copying") as caught:
            load_epub(book(CHAPTERS, {"META-INF/encryption.xml": quoted.format("c%200.xhtml")}))
        assert caught.value.status == "encrypted"
    assert load_epub(book(CHAPTERS, {"META-INF/encryption.xml": listed.format("a.ttf")})).status == "ok"


def test_office_files_say_who_wrote_them() -> None:
    document = load_docx(handbook())
    assert document.title == "Harbour handbook"
    assert document.metadata["author"] == "Ann Keeper"
    assert "title" not in document.metadata


LOADERS = {"docx": load_docx, "pptx": load_pptx, "xlsx": load_xlsx, "epub": load_epub}
WHOLE = {"docx": handbook(), "pptx": deck(), "xlsx": workbook({"Fees": FEES}), "epub": book(CHAPTERS)}
MAIN = {
    "docx": "word/document.xml",
    "pptx": "ppt/slides/slide1.xml",
    "xlsx": "xl/worksheets/sheet1.xml",
    "epub": "OPS/c 0.xhtml",
}


@pytest.mark.parametrize("kind", LOADERS)
class TestHostile:
    def refused(self, kind: str, data: bytes) -> tuple[str, str]:
        with pytest.raises(Unloadable) as caught:
            LOADERS[kind](data)
        return caught.value.status, caught.value.reason

    def test_an_archive_that_unpacks_to_too_much(self, kind: str) -> None:
        status, reason = self.refused(kind, damaged.saying(WHOLE[kind], 140_000_000))
        assert status == "too_large"
        assert reason.startswith("It unpacks to ") and "Save it without embedded files" in reason

    def test_one_that_lies_about_its_size(self, kind: str) -> None:
        assert self.refused(kind, damaged.saying(WHOLE[kind], 10))[0] == "corrupt"

    def test_encrypted_entries(self, kind: str) -> None:
        status, reason = self.refused(kind, damaged.encrypted_archive(WHOLE[kind]))
        assert (status, reason) == ("encrypted", "It is protected by a password. Save it without one.")

    def test_an_archive_of_archives(self, kind: str) -> None:
        assert self.refused(kind, damaged.nested_archive())[0] == "corrupt"

    def test_too_many_parts(self, kind: str) -> None:
        status, reason = self.refused(kind, damaged.zipped({f"{n}.xml": b"" for n in range(20_001)}))
        assert (status, reason) == ("too_large", "It is an archive of 20,001 parts. Split it.")

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_one_that_was_cut_short(self, kind: str, share: float) -> None:
        data = WHOLE[kind]
        status, reason = self.refused(kind, data[: int(len(data) * share)])
        assert status == "corrupt"
        assert "is not a whole" in reason and "save it again" in reason


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx"])
def test_entities_in_office_files_are_refused(kind: str) -> None:
    part = f"<?xml version='1.0'?>{damaged.LAUGHS}]><a>&a9;</a>".encode()
    with pytest.raises(Unloadable, match="defines a document type") as caught:
        LOADERS[kind](damaged.with_part(WHOLE[kind], MAIN[kind], part))
    assert caught.value.status == "corrupt"


def test_entities_in_a_book_are_not_expanded() -> None:
    part = f"<?xml version='1.0'?>{damaged.LAUGHS}]><html><body><p>&a9;</p></body></html>".encode()
    assert "haha" not in load_epub(damaged.with_part(WHOLE["epub"], MAIN["epub"], part)).text
    package = f"<?xml version='1.0'?>{damaged.LAUGHS}]><package>&a9;</package>".encode()
    with pytest.raises(Unloadable):
        load_epub(damaged.with_part(WHOLE["epub"], "OPS/book.opf", package))


@pytest.mark.parametrize(("kind", "suffix"), [("docx", ".doc"), ("pptx", ".ppt"), ("xlsx", ".xls")])
def test_old_files_and_passwords_are_told_apart(kind: str, suffix: str) -> None:
    with pytest.raises(Unloadable, match=rf"old file \(\{suffix}\) by another name. Save it as \{suffix}x"):
        LOADERS[kind](OLE + bytes(600))
    with pytest.raises(Unloadable, match="protected by a password") as caught:
        LOADERS[kind](OLE + bytes(600) + "EncryptedPackage".encode("utf-16-le"))
    assert caught.value.status == "encrypted"


def test_a_sheet_that_says_it_is_as_large_as_can_be_is_not() -> None:
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    cell = '<row r="1000000"><c r="XFD1000000" t="inlineStr"><is><t>far</t></is></c></row>'
    sheet = f'<worksheet xmlns="{name}"><dimension ref="A1:XFD1048576"/><sheetData>{cell}</sheetData></worksheet>'
    document = load_xlsx(damaged.with_part(WHOLE["xlsx"], MAIN["xlsx"], sheet.encode()))
    assert located(document) == [("Fees", "sheet Fees"), ("far", "sheet Fees, row 1000000")]
