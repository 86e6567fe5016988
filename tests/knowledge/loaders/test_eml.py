"""Mail: headers, text, attachments that can be read, and those that cannot."""

import time
from base64 import encodebytes

import pytest
from support.documents import handbook, mail, pdf

from penstock.knowledge.loaders.base import LoadedDocument, ReadRules, Unloadable
from penstock.knowledge.loaders.eml import load_eml
from penstock.knowledge.loaders.places import Locator


def located(document: LoadedDocument) -> list[tuple[str, str]]:
    locator = Locator(document.text, document.places)
    return [
        (document.text[block.start : block.end], locator.location(block.start, block.end))
        for block in document.blocks
    ]


def test_headers_text_and_attachments() -> None:
    rules = pdf([[(12, "All ships obey.")], [(12, "All ships pay.")]])
    data = mail(
        "Hello Bob,\n\nsee below.", {"fees.csv": b"ship,euros\nferry,100\n", "rules.pdf": rules, "a.png": b"x"}
    )
    document = load_eml(data)
    assert document.status == "ok"
    assert document.title == "Häfen and fees"
    assert located(document) == [
        ("Häfen and fees", "message"),
        (
            "From: Ann Keeper <Ann@harbour.example>\nTo: bob@ships.example, cy@ships.example\n"
            "Date: Mon, 02 Mar 2026 10:00:00 +0100\nAttachments: fees.csv, rules.pdf, a.png",
            "message",
        ),
        ("Hello Bob,", "message"),
        ("see below.", "message"),
        ("fees.csv", "attachment fees.csv"),
        ("ship | euros", "attachment fees.csv, row 1"),
        ("ship: ferry; euros: 100", "attachment fees.csv, row 2"),
        ("rules.pdf", "attachment rules.pdf"),
        ("All ships obey.", "attachment rules.pdf, page 1"),
        ("All ships pay.", "attachment rules.pdf, page 2"),
    ]
    assert document.metadata == {
        "subject": "Häfen and fees",
        "from": "ann@harbour.example",
        "to": ("bob@ships.example", "cy@ships.example"),
        "created": "2026-03-02T10:00:00+01:00",
    }


def parts(kind: str, *inner: bytes) -> bytes:
    """A part of several others."""
    mark = f"={kind}=".encode()
    lines = b"".join(b"--%s\n%s\n" % (mark, each) for each in inner)
    return b'Content-Type: multipart/%s; boundary="%s"\n\n%s--%s--\n' % (kind.encode(), mark, lines, mark)


def test_only_what_is_said_in_several_ways_is_read_in_one() -> None:
    plain, page = b"Content-Type: text/plain\n\nPlain words.\n", b"Content-Type: text/html\n\n<p>As a page.</p>\n"
    other = b"Content-Type: text/html\n\n<p>The other half.</p>\n"
    document = load_eml(
        b"From: a@b.example\nSubject: x\n"
        + parts("mixed", parts("alternative", plain, parts("related", page)), other)
    )
    assert document.text.split("\n\n")[2:] == ["Plain words.", "The other half."]
    empty = plain.replace(b"Plain words.", b"")
    document = load_eml(b"From: a@b.example\nSubject: x\n" + parts("alternative", empty, page))
    assert document.text.split("\n\n")[2:] == ["As a page."]


def test_a_mail_within_a_mail_is_read_also_from_base64() -> None:
    inner = mail("The ferry costs 100 euros.", {})
    for encoded in (
        b"Content-Type: message/rfc822\n\n" + inner,
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + encodebytes(inner),
    ):
        document = load_eml(b"From: a@b.example\nSubject: x\n" + parts("mixed", encoded))
        assert (document.status, document.reason) == ("ok", "")
        assert located(document)[-1] == (
            "The ferry costs 100 euros.",
            "attachment Häfen and fees.eml, message",
        )


def test_html_is_read_where_there_is_no_plain_text() -> None:
    both = load_eml(mail("Plain words.", html="<p>Other <b>words</b>.</p>"))
    assert "Plain words." in both.text and "Other" not in both.text
    page = (
        b"From: a@b.example\nSubject: x\nContent-Type: text/html\n\n<h2>Fees</h2><p>Twelve.</p><script>1</script>"
    )
    assert load_eml(page).text.endswith("Fees\n\nTwelve.")


def test_attachments_that_cannot_be_read_are_named() -> None:
    locked = pdf([[(12, "Secret")]], encrypted=True)
    document = load_eml(mail("See below.", {"locked.pdf": locked, "half.docx": handbook()[:900]}))
    assert document.status == "partial"
    assert "The attachment 'locked.pdf' was not read: It is protected by a password." in document.reason
    assert "The attachment 'half.docx' was not read: It is not a whole Word document" in document.reason
    assert "See below." in document.text


def test_attachments_that_there_is_no_time_for_are_named() -> None:
    document = load_eml(mail("See below.", {"a.csv": b"a,b\n1,2"}), ReadRules(time.monotonic() - 1))
    assert (document.status, document.reason) == ("partial", "There was no time left to read 'a.csv'.")


def test_mails_in_mails_end_somewhere() -> None:
    data = mail("The innermost.")
    for _ in range(6):
        data = mail("Look at this.", {"forwarded.eml": data})
    document = load_eml(data)
    assert document.status == "partial"
    assert "mail within a mail" in document.reason
    assert "innermost" not in document.text


def test_broken_headers_and_encodings_are_no_failure() -> None:
    data = b"From: =?utf-8?b?broken\nTo: <<<,,\nDate: yesterday\nSubject: =?nope?q?x?=\n\nText."
    document = load_eml(data)
    assert document.text.endswith("Text.")
    assert "created" not in document.metadata


def test_what_is_no_mail_says_so() -> None:
    with pytest.raises(Unloadable, match="not a mail") as caught:
        load_eml(b"Just a note without any header lines.\n\nBye.")
    assert caught.value.status == "corrupt"
