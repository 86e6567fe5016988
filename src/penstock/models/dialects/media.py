"""Images, sounds and documents inside messages: what their addresses hold. Nothing is fetched."""

from __future__ import annotations

import base64
import mimetypes
from urllib.parse import unquote_to_bytes, urlsplit

from msgspec import Struct

from penstock.exchange import FileData, InputAudio

AUDIO_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
}


class Media(Struct, frozen=True):
    """A medium: its bytes in base64 (`data`), or where it is (`url`). `type` is its media type, "" if unknown."""

    type: str
    data: str = ""
    url: str = ""

    @property
    def format(self) -> str:
        """The second half of the media type: "png" of "image/png"."""
        return self.type.partition("/")[2]


def media_at(url: str) -> Media:
    """What a `data:` address holds, or an address whose type its ending tells."""
    if url[:5].lower() != "data:":
        return Media(type_at(url), url=url)
    head, _, data = url[5:].partition(",")
    kind, *options = head.split(";")
    if "base64" not in (each.strip().lower() for each in options):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return Media(kind.strip().lower() or "text/plain", data)


def type_at(url: str) -> str:
    """The media type that an address ends in; "" also for what is no address, as its provider will say."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return mimetypes.guess_type(path)[0] or ""


def sound(audio: InputAudio) -> Media:
    return Media(AUDIO_TYPES.get(audio.format, f"audio/{audio.format}"), audio.data)


def document(file: FileData) -> Media | None:
    """`None` for one that is only named by its id at a provider."""
    address = file.file_data or file.file_url
    return media_at(address) if address else None
