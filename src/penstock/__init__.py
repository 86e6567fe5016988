"""Penstock: from a folder of documents to a governed language-model service.

from penstock import App

answer = App("my-docs").ask("How long may a customer return a product?")
print(answer)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.app import Answer, App
    from penstock.errors import PenstockError
    from penstock.exchange import Chunk, Citation, Grounding, Message, Usage

__all__ = ["Answer", "App", "Chunk", "Citation", "Grounding", "Message", "PenstockError", "Usage"]

_HOMES = {
    "Answer": "penstock.app",
    "App": "penstock.app",
    "Chunk": "penstock.exchange",
    "Citation": "penstock.exchange",
    "Grounding": "penstock.exchange",
    "Message": "penstock.exchange",
    "PenstockError": "penstock.errors",
    "Usage": "penstock.exchange",
}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used: `import penstock` itself stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
