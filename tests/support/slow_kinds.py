"""A reader of files that hangs, crashes or eats memory when the text tells it to, for the tests of its parent."""

import os
import time

from penstock.knowledge.loaders import child
from penstock.knowledge.loaders.base import LoadedDocument
from penstock.knowledge.loaders.text import load_text


def obey(data: bytes) -> LoadedDocument:
    document = load_text(data)
    match document.text.strip():
        case "hang":
            time.sleep(3600)
        case "crash":
            os.abort()
        case "eat":
            return LoadedDocument(text="x" * (1 << 40))
        case "fail":
            raise LookupError("no such chapter")
        case "surrogate":
            return LoadedDocument(text="half \ud83d of a pair", title="\ud83d")
    return document


if __name__ == "__main__":
    child.loader_of = lambda kind, deadline: obey
    child.main()
