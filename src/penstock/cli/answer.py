"""How an answer looks: its evidence at once, its text as it comes, its sources at the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from penstock.cli.output import count, is_terminal, note, say, say_json
from penstock.cli.prose import Prose, indented

if TYPE_CHECKING:
    from penstock.exchange import Chunk, Grounding, Usage

EVIDENCE_SHOWN = 3


class AnswerPrinter:
    """Takes the chunks of one answer as they come. With `as_json` it prints nothing before the end."""

    def __init__(self, question: str, as_json: bool) -> None:
        self.question = question
        self.trace_id = ""
        self._as_json = as_json
        self._text: list[str] = []
        self._prose = Prose()
        self._grounding: Grounding | None = None
        self._usage: Usage | None = None

    def take(self, chunk: Chunk) -> None:
        if chunk.grounding:
            if self._grounding is None and not self._as_json:
                _show_evidence(chunk.grounding)
            self._grounding = chunk.grounding
        if chunk.text:
            self._text.append(chunk.text)
            if not self._as_json:
                self._prose.write(chunk.text)
        self._usage = chunk.usage or self._usage

    def finish(self) -> bool:
        """Prints what comes after the text, and returns whether the question was answered."""
        grounding = self._grounding
        answered = grounding.answered if grounding else True
        if self._as_json:
            say_json(self._as_value(answered))
            return answered
        self._prose.end()
        if grounding and grounding.citations:
            say("")
            _show_sources(grounding)
        if grounding and grounding.unsupported and answered:
            note((f"No passage supports {count(len(grounding.unsupported), 'sentence')} of this answer.", "yellow"))
        return answered

    def _as_value(self, answered: bool) -> dict[str, Any]:
        grounding = self._grounding
        return {
            "question": self.question,
            "answer": "".join(self._text),
            "answered": answered,
            "mode": grounding.mode if grounding else None,
            "score": grounding.score if grounding else None,
            "citations": grounding.citations if grounding else [],
            "unsupported": grounding.unsupported if grounding else [],
            "usage": self._usage,
            "trace_id": self.trace_id,
        }


def _show_evidence(grounding: Grounding) -> None:
    """What a person can read while the model writes; where the quotes are the answer, they come right away."""
    if grounding.mode == "quote" or not grounding.answered or not is_terminal(sys.stdout):
        return
    for citation in grounding.citations[:EVIDENCE_SHOWN]:
        say((indented(f"“{_one_line(citation.quote)}”", "  "), "dim italic"))
        say((f"    {citation.place}", "dim"))
    say("")


def _show_sources(grounding: Grounding) -> None:
    used = [citation for citation in grounding.citations if citation.answer_start is not None]
    for citation in used or grounding.citations[:EVIDENCE_SHOWN]:
        say((f"[{citation.number}] ", "cyan"), citation.place)
        if grounding.mode == "compose" or not grounding.answered:
            say((indented(f"“{_one_line(citation.quote)}”", "    "), "dim"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
