"""Word documents: structure by styles, and files that only look like one."""

import pytest
from docx import Document as open_docx
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from support.documents import archive, handbook, saved

from penstock.knowledge.loaders.base import Unloadable
from penstock.knowledge.loaders.docx import load_docx
from penstock.knowledge.loaders.packages import OLE
from penstock.knowledge.loaders.places import Locator


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


WORDS = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
NOTES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def word(body: str, **notes: str) -> bytes:
    """A Word document of this body; `footnotes` and `endnotes` are the insides of those parts."""
    document = open_docx()
    inside = parse_xml(f"<w:body {WORDS}>{body}</w:body>")
    for old in list(document.element.body):
        document.element.body.remove(old)
    document.element.body.extend(list(inside))
    for name, content in notes.items():
        xml = f"<w:{name} {WORDS}>{content}</w:{name}>"
        part = Part(PackURI(f"/word/{name}.xml"), f"application/x-{name}", xml.encode(), document.part.package)
        document.part.relate_to(part, f"{NOTES}/{name}")
    return saved(document)


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_tracked_changes_are_read_as_if_they_were_accepted() -> None:
    deleted = "<w:r><w:delText>gone</w:delText></w:r>"
    document = load_docx(
        word(
            f"<w:p>{run('Ships ')}<w:ins>{run('always ')}</w:ins><w:del>{deleted}</w:del>"
            f"<w:moveFrom>{run('there ')}</w:moveFrom><w:moveTo>{run('here ')}</w:moveTo>{run('wait.')}</w:p>"
            f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr><w:tc><w:p>{run('old')}</w:p></w:tc></w:tr>"
            f"<w:tr><w:tc><w:p><w:ins>{run('new')}</w:ins></w:p></w:tc></w:tr></w:tbl>"
        )
    )
    assert document.text == "Ships always here wait.\n\nnew"


def test_content_controls_text_boxes_and_nested_tables_are_read_once() -> None:
    box = f"<w:txbxContent><w:p>{run('In the box.')}</w:p></w:txbxContent>"
    markup = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    document = load_docx(
        word(
            '<w:sdt><w:sdtContent><w:p><w:pPr><w:pStyle w:val="TOCHeading"/></w:pPr>'
            f"{run('Contents')}</w:p></w:sdtContent></w:sdt>"
            f"<w:sdt><w:sdtContent><w:p>{run('Form: ')}"
            f"<w:sdt><w:sdtContent>{run('filled in')}</w:sdtContent></w:sdt>"
            "</w:p></w:sdtContent></w:sdt>"
            f'<w:p><w:r><mc:AlternateContent xmlns:mc="{markup}"><mc:Choice>{box}</mc:Choice>'
            f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r>{run('Beside it.')}</w:p>"
            f"<w:tbl><w:tr><w:tc><w:tcPr><w:vMerge w:val='restart'/></w:tcPr>"
            f"<w:p>{run('any')}</w:p></w:tc><w:tc><w:tbl><w:tr><w:tc><w:p>{run('inner')}</w:p></w:tc></w:tr></w:tbl><w:p/></w:tc></w:tr>"
            f"<w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc>"
            f"<w:tc><w:p>{run('12')}</w:p></w:tc></w:tr></w:tbl>"
        )
    )
    assert document.text == ("Form: filled in\n\nBeside it.\n\nIn the box.\n\nany | inner\nany | 12")


def test_notes_stand_behind_their_paragraph_and_know_where_they_are() -> None:
    def note(kind: str, id: int, text: str, type: str = "") -> str:
        return f"<w:{kind} w:id='{id}' {type}><w:p><w:r><w:{kind}Ref/></w:r>{run(text)}</w:p></w:{kind}>"

    document = load_docx(
        word(
            f"<w:p>{run('Ships wait')}<w:r><w:footnoteReference w:id='7'/></w:r>{run(' for the pilot.')}"
            f"<w:r><w:endnoteReference w:id='2'/></w:r></w:p><w:p>{run('Then they enter.')}"
            "<w:r><w:footnoteReference w:id='3'/></w:r><w:r><w:footnoteReference w:id='99'/></w:r></w:p>",
            footnotes=note("footnote", 0, "line", "w:type='separator'")
            + note("footnote", 3, "At low tide, never.")
            + note("footnote", 7, "Since 1907."),
            endnotes=note("endnote", 2, "See the pilots’ rules."),
        )
    )
    assert document.text == (
        "Ships wait[1] for the pilot.[endnote 1]\n\n[1] Since 1907.\n\n[endnote 1] See the pilots’ rules.\n\n"
        "Then they enter.[2][3]\n\n[2] At low tide, never."
    )
    locator = Locator(document.text, document.places)
    assert [locator.location(block.start, block.end) for block in document.blocks] == [
        "",
        "footnote 1",
        "endnote 1",
        "",
        "footnote 2",
    ]
    assert locator.location(0, len(document.text)) == ""


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
