"""Words of a question in a passage, passages in a text: nothing is lost, and what is marked is what was meant."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.console.document_text import Cuts, runs
from penstock.console.knowledge_hits import hit_lines, marked, stems_of
from penstock.knowledge.base import EVERYTHING, Hit, Query
from penstock.knowledge.inspection import DocumentPassage

WORDS = st.text(alphabet="aber <é🌊漢字-'1.", max_size=80)


def hit(text: str, **fields: object) -> Hit:
    known = {
        "chunk_id": "chk_1",
        "document_id": "doc_1",
        "document": "guide.md",
        "title": "Guide",
        "heading": ("Closing the gate",),
        "page": None,
        "start": 0,
        "end": len(text),
        "text": text,
        "score": 0.6,
        "vector_score": 0.4,
        "text_score": 0.8,
    }
    return Hit(**{**known, **fields})  # type: ignore[arg-type]


@given(WORDS, WORDS)
def test_pieces_are_the_text_and_marked_ones_the_words_of_the_question(text: str, question: str) -> None:
    stems = frozenset(stems_of(question))
    pieces = list(marked(text, stems))
    assert "".join(piece.text for piece in pieces) == text
    assert all(stems_of(piece.text) & stems for piece in pieces if piece.found)


def test_other_forms_of_a_word_count_and_what_is_missing_is_named() -> None:
    query = Query(text="How are gates closed in winter?", reader=EVERYTHING)
    (line,) = hit_lines("manuals", query, [hit("The warden closes it by hand.")], 0.5)
    assert [piece.text for piece in line.pieces if piece.found] == ["closes"]
    assert line.lacks == ("winter",), "the heading has the gate"
    assert line.why == "0.5 × 0.40 meaning + 0.5 × 0.80 words"


def test_each_way_to_search_says_what_its_score_is() -> None:
    def why(mode: str, **fields: object) -> str:
        query = Query(text="gate", reader=EVERYTHING, mode=mode)  # type: ignore[arg-type]
        return next(hit_lines("manuals", query, [hit("A gate.", **fields)], 0.7)).why

    assert why("dense") == "the meaning alone"
    assert why("text", vector_score=None) == "the words alone"
    assert why("hybrid", vector_score=None) == "the words alone"
    assert why("hybrid", vector_score=-0.1) == "0.7 × 0.00 meaning + 0.3 × 0.80 words"
    assert why("hybrid", rerank_score=0.93).endswith("gave it 0.93")


def passage(start: int, end: int) -> DocumentPassage:
    return DocumentPassage(id="chk", start=start, end=end, heading=(), page=None, location="", parent=None)


@given(st.data(), st.text(alphabet="ab .", min_size=1, max_size=60))
def test_runs_are_the_text_and_each_is_in_the_passage_that_begins_last(data: st.DataObject, text: str) -> None:
    places = st.integers(0, len(text) - 1)
    starts = sorted(data.draw(st.sets(places, max_size=5)))
    passages = [passage(start, data.draw(st.integers(start + 1, len(text)))) for start in starts]
    cited = data.draw(st.none() | st.tuples(places, st.just(len(text))))
    found = list(runs(text, (0, len(text)), cited, Cuts(passages)))
    assert "".join(run.text for run in found) == text
    at = 0
    for run in found:
        for place in range(at, at + len(run.text)):
            holding = [number for number, each in enumerate(passages, 1) if each.start <= place < each.end]
            assert run.passage == max(holding, default=0)
        at += len(run.text)
    begun = [run.passage for run in found if run.starts]
    assert len(begun) == len(set(begun))
    assert sum(run.first for run in found) == (cited is not None)
