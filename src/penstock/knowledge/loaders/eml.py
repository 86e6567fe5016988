"""Mail: who wrote to whom about what, the text of the message, and the attachments that can be read."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime

import msgspec
from msgspec import Struct

from penstock.knowledge.filters import Value
from penstock.knowledge.loaders.base import RULES, LoadedDocument, ReadRules, TextBuilder, Unloadable
from penstock.knowledge.loaders.html import add_html
from penstock.knowledge.loaders.kinds import Kind, kind_of, loader_of
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.loaders.properties import flat
from penstock.knowledge.loaders.text import decode, paragraphs

HEADERS = ("From", "To", "Cc", "Date", "Subject")
MOST_PARTS = 1000
MOST_ATTACHMENTS = 50
DEEPEST = 3
"""Mails within mails that are read."""


class Attachment(Struct, frozen=True):
    """A file that a mail carries; `kind` is `None` for one that cannot be read."""

    name: str
    kind: Kind | None
    data: bytes


class Part(Struct, frozen=True):
    """A part of a mail; those with the same `choice` say the same in several ways, 0 is none."""

    message: Message
    choice: int


def load_eml(data: bytes, rules: ReadRules = RULES) -> LoadedDocument:
    """Raises `Unloadable` for what is not a mail."""
    return load_mail(data, rules, 0)


def load_mail(data: bytes, rules: ReadRules, depth: int) -> LoadedDocument:
    try:
        message = message_from_bytes(data, policy=policy.compat32)
    except RecursionError:
        raise Unloadable("corrupt", "Its parts are nested too deep to be read.") from None
    if not any(message.get(name) for name in HEADERS):
        raise Unloadable("corrupt", "It is not a mail: it has none of the lines that say from whom and to whom.")
    reading = Reading(rules, depth)
    reading.read(message)
    return reading.document(message)


class Reading:
    """One mail on its way to a document."""

    def __init__(self, rules: ReadRules, depth: int) -> None:
        self._rules = rules
        self._depth = depth
        self._builder = TextBuilder()
        self._places: list[Place] = [Place(0, "message")]
        self._problems: list[str] = []

    def read(self, message: Message) -> None:
        subject = header(message, "Subject")
        self._builder.add("heading", subject, 1)
        lines = [f"{name}: {value}" for name in HEADERS[:-1] if (value := header(message, name))]
        attachments: list[Attachment] = []
        bodies: list[Part] = []
        for part in parts(message):
            if is_attachment(part.message):
                attachments.append(attachment(part.message))
            elif part.message.get_content_type() in ("text/plain", "text/html"):
                bodies.append(part)
        if attachments:
            lines.append(f"Attachments: {', '.join(each.name for each in attachments)}")
        self._builder.add("table", "\n".join(lines))
        for part in chosen(bodies):
            self._body(part.message)
        if len(attachments) > MOST_ATTACHMENTS:
            self._problems.append(f"It has {len(attachments)} attachments; {MOST_ATTACHMENTS} of them were read.")
        for each in attachments[:MOST_ATTACHMENTS]:
            self._attachment(each)

    def document(self, message: Message) -> LoadedDocument:
        return LoadedDocument(
            text=self._builder.text(),
            title=header(message, "Subject"),
            blocks=tuple(self._builder.blocks),
            places=tuple(self._places),
            metadata=described(message),
            status="partial" if self._problems else "ok",
            reason=" ".join(self._problems),
        )

    def _body(self, part: Message) -> None:
        data = payload(part)
        if part.get_content_type() == "text/html":
            _, reason = add_html(self._builder, data)
        else:
            text, reason = decode(data, part.get_content_charset())
            for block in paragraphs(text):
                self._builder.add("paragraph", text[block.start : block.end])
        if reason:
            self._problems.append(reason)

    def _attachment(self, each: Attachment) -> None:
        if each.kind is None:
            return
        if time.monotonic() > self._rules.deadline:
            self._problems.append(f"There was no time left to read {each.name!r}.")
            return
        try:
            if each.kind == "eml":
                if self._depth == DEEPEST:
                    raise Unloadable("partial", "It is a mail within a mail within a mail.")
                loaded = load_mail(each.data, self._rules, self._depth + 1)
            else:
                loaded = loader_of(each.kind, self._rules)(each.data)
        except Unloadable as problem:
            self._problems.append(f"The attachment {each.name!r} was not read: {problem.reason}")
            return
        except MemoryError:
            raise
        except Exception as error:
            self._problems.append(f"The attachment {each.name!r} could not be read ({type(error).__name__}).")
            return
        if loaded.reason:
            self._problems.append(f"The attachment {each.name!r}: {loaded.reason}")
        self._append(each.name, loaded)

    def _append(self, name: str, loaded: LoadedDocument) -> None:
        """Takes a document in under the name of its attachment, its headings one level further down."""
        label = f"attachment {name}"
        self._places.append(Place(self._builder.length, label))
        self._builder.add("heading", name, 2)
        at = self._builder.take(loaded, levels=2)
        self._places.extend(
            msgspec.structs.replace(
                place, start=at + place.start, label=f"{label}, {place.label}" if place.label else label
            )
            for place in loaded.places
        )


def parts(message: Message) -> Iterator[Part]:
    """The parts that hold something, in order, without recursion; a mail within is one part."""
    stack = [Part(message, 0)]
    count = 0
    while stack and count < MOST_PARTS:
        part = stack.pop()
        count += 1
        held, kind = part.message, part.message.get_content_type()
        if kind == "message/rfc822" or not held.is_multipart():
            yield part
        else:
            choice = count if kind == "multipart/alternative" else part.choice
            inner = [Part(each, choice) for each in held.get_payload() if isinstance(each, Message)]
            stack.extend(reversed(inner))


def chosen(bodies: Sequence[Part]) -> list[Part]:
    """The texts to read: of those that say the same the plain ones where there are any, else the pages."""
    plain = {
        body.choice
        for body in bodies
        if body.message.get_content_type() == "text/plain" and payload(body.message).strip()
    }
    return [
        body
        for body in bodies
        if not body.choice or body.choice not in plain or body.message.get_content_type() == "text/plain"
    ]


def is_attachment(part: Message) -> bool:
    kind = part.get_content_type()
    return bool(part.get_filename()) or kind == "message/rfc822" or part.get_content_disposition() == "attachment"


def attachment(part: Message) -> Attachment:
    if part.get_content_type() == "message/rfc822":
        inner = inner_mail(part)
        data = inner.as_bytes() if inner is not None else b""
        subject = header(inner, "Subject") if inner is not None else ""
        return Attachment(part.get_filename() or f"{subject or 'mail'}.eml", "eml", data)
    name = " ".join((part.get_filename() or "without a name").split())
    return Attachment(name, kind_of(name), payload(part))


def inner_mail(part: Message) -> Message | None:
    """The mail that a part holds, also where it is in base64, which no mail may be and some are."""
    inner = part.get_payload(0) if part.is_multipart() else None
    if not isinstance(inner, Message):
        return None
    if part.get("Content-Transfer-Encoding", "").strip().lower() != "base64" or inner.keys():
        return inner
    try:
        return message_from_bytes(b64decode(str(inner.get_payload())), policy=policy.compat32)
    except ValueError:
        return inner


def payload(part: Message) -> bytes:
    """The content of a part, its transfer encoding taken off; what is broken of it as it stands."""
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def header(message: Message, name: str) -> str:
    """A header as people read it; encoded words that are broken stay as they are."""
    raw = str(message.get(name, ""))
    try:
        value = str(policy.default.header_factory(name, raw))
    except Exception:  # the standard library raises errors of many kinds at headers that are not as they should be
        value = raw
    return " ".join(value.encode("utf-8", "replace").decode().split())


def described(message: Message) -> dict[str, Value]:
    found: dict[str, object] = {"subject": header(message, "Subject")}
    for name in ("From", "To", "Cc"):
        addresses = tuple(address.lower() for _, address in getaddresses([header(message, name)]) if address)
        if addresses:
            found[name.lower()] = addresses[0] if name == "From" else addresses
    try:
        found["created"] = parsedate_to_datetime(header(message, "Date")).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        pass
    return flat(found)
