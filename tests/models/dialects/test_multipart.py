"""Forms: fields are found where they stand, and one is changed without touching the others."""

from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.models.dialects.openai.multipart import Field, fields_of, with_value

BOUNDARY = "----penstock7"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
NAMES = st.from_regex(r"[a-z_]{1,10}(\[\])?", fullmatch=True)
VALUES = st.binary(max_size=200).filter(lambda value: b"\r\n--" + BOUNDARY.encode() not in b"\r\n" + value)
GIVEN = st.lists(st.tuples(NAMES, st.none() | st.from_regex(r"[a-z.]{1,9}", fullmatch=True), VALUES), max_size=6)


def form(fields: list[tuple[str, str | None, bytes]]) -> bytes:
    body = b""
    for name, filename, value in fields:
        file = f'; filename="{filename}"\r\nContent-Type: audio/wav' if filename else ""
        body += (
            f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
            + value
            + b"\r\n"
        )
    return body + f"--{BOUNDARY}--\r\n".encode()


@given(GIVEN)
def test_fields_are_found_where_they_stand(given_: list[tuple[str, str | None, bytes]]) -> None:
    body = form(given_)
    found = [(each.name, each.filename, body[each.start : each.end]) for each in fields_of(body, TYPE)]
    assert found == given_


@given(GIVEN, VALUES)
def test_one_field_is_changed_and_no_other(given_: list[tuple[str, str | None, bytes]], value: bytes) -> None:
    before = [*given_, ("MODEL", None, b"mine")]
    body = form(before)
    assert with_value(body, fields_of(body, TYPE), "MODEL", value) == form([*given_, ("MODEL", None, value)])


@given(GIVEN)
def test_the_standard_library_reads_the_same(given_: list[tuple[str, str | None, bytes]]) -> None:
    body = form(given_)
    message = message_from_bytes(f"Content-Type: {TYPE}\r\n\r\n".encode() + body)
    names = (
        [part.get_param("name", header="content-disposition") for part in message.get_payload()] if given_ else []
    )  # type: ignore[union-attr]
    assert [each.name for each in fields_of(body, TYPE)] == names


@given(st.binary(max_size=300))
def test_what_is_no_form_is_refused_and_nothing_worse(body: bytes) -> None:
    for start in (b"", b"--" + BOUNDARY.encode() + b"\r\n"):
        with pytest.raises(InvalidRequest):
            fields_of(start + body, TYPE)


@pytest.mark.parametrize(
    "head",
    [
        'Content-Disposition: form-data; name="model"\nX: 1',
        'Content-Disposition: form-data; name="model"\r\n folded: 1',
        "Content-Disposition: form-data; name*=utf-8''model",
        'Content-Disposition: attachment; name="model"',
        'Content-Disposition: form-data; name="model"; NAME="other"',
        "X: 1",
    ],
)
def test_a_head_that_others_might_read_otherwise_is_refused(head: str) -> None:
    body = f"--{BOUNDARY}\r\n{head}\r\n\r\nmine\r\n--{BOUNDARY}--\r\n".encode()
    with pytest.raises(InvalidRequest, match="The form cannot be read"):
        fields_of(body, TYPE)


def test_text_around_the_form_is_refused_before_it_and_ignored_after_it() -> None:
    body = form([("model", None, b"mine")])
    assert fields_of(b"\r\n" + body + b"the end", TYPE) == [Field("model", None, 67, 71)]
    with pytest.raises(InvalidRequest, match="does not begin with its boundary"):
        fields_of(b"hello\r\n" + body, TYPE)


@pytest.mark.parametrize("declared", ["application/json", "multipart/form-data", "multipart/mixed; boundary=x", ""])
def test_what_is_declared_must_be_a_form(declared: str) -> None:
    with pytest.raises(InvalidRequest, match="which is no form with a boundary"):
        fields_of(b"", declared)
