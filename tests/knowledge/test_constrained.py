"""Answers in quotes alone: what a model may write, what is read of it, and models that cannot be held to it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from support.grounding import asking, collected, documents, encoder, hit

from penstock.errors import ConfigError, UnsupportedFeature
from penstock.exchange import Chunk, Grounding, Parameters
from penstock.knowledge.answer import NOT_SAID, AnswerSettings, GroundedApp
from penstock.knowledge.answering.quotes import QuoteReader, clauses_of, quote_grammar
from penstock.knowledge.base import EVERYTHING, KnowledgeBase
from penstock.knowledge.evidence import candidates_of
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.testing.provider import FakeProvider

HEIGHT = "How high is the Grand Valley Dam?"
SENTENCE = "It is 221 metres high and holds back Lake Ardor."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(embedder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    async with documents(tmp_path_factory.mktemp("constrained"), embedder) as it:
        yield it


def app(base: KnowledgeBase, embedder: SentenceEncoder, model: FakeProvider, **settings: Any) -> GroundedApp:
    chosen = AnswerSettings(mode="constrained", model="small", **settings)
    return GroundedApp("handbook", base, embedder, model.answer, chosen)


async def ends(base: KnowledgeBase, made: GroundedApp) -> tuple[str, Grounding, list[Chunk]]:
    text, grounding, chunks = await collected(made, asking(HEIGHT))
    for citation in grounding.citations:
        assert base.document(citation.document_id, EVERYTHING).text[citation.start : citation.end] == citation.quote
        if citation.answer_start is not None and grounding.answered:
            shown = text[citation.answer_start : citation.answer_end]
            assert shown == f"“{citation.quote}” [{citation.number}]"
    return text, grounding, chunks


@pytest.mark.parametrize(
    ("sentence", "clauses"),
    [
        (SENTENCE, ["It is 221 metres high and holds back Lake Ardor"]),
        (
            "When it rains, the gates are shut; the mill stands still.",
            ["When it rains", "the gates are shut", "the mill stands still"],
        ),
        ("First, in 1936, the dam (a large one) was built.", ["First, in 1936", "the dam (a large one) was built"]),
        ("Yes.", ["Yes"]),
    ],
)
def test_a_quote_begins_and_ends_with_a_clause(sentence: str, clauses: list[str]) -> None:
    assert [sentence[each.start : each.end] for each in clauses_of(sentence)] == clauses


def test_the_grammar_lets_through_verbatim_quotes_and_nothing_else() -> None:
    """Its rules are literals and alternatives, so that it can be walked to the end."""
    text = "When it rains, the gates are shut; the mill stands still."
    sentences = tuple(candidates_of([hit("a", text), hit("b", 'He said "so it is" at noon.')]))
    rules = dict(line.split(" ::= ", 1) for line in quote_grammar(sentences, NOT_SAID).source.splitlines())
    said = spoken(rules, rules["quote"])
    assert len(said) > 6
    for quote in said:
        whole = re.fullmatch(r"“(.*)” \[(\d)\]", quote)
        assert whole is not None
        assert whole.group(1) in sentences[int(whole.group(2)) - 1].text
    assert "“the gates are shut; the mill stands still.” [1]" in said
    assert rules["root"].startswith('"The documents do not say." | quote')
    assert "documents" not in quote_grammar(sentences, "").source


def spoken(rules: dict[str, str], body: str) -> list[str]:
    """Every text that a rule of literals, names, groups and alternatives lets through."""
    alternatives, depth, start, quoted = [], 0, 0, False
    for at, character in enumerate(body):
        quoted ^= character == '"'
        if not quoted:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if character == "|" and depth == 0:
                alternatives.append(body[start:at])
                start = at + 1
    found: list[str] = []
    for alternative in [*alternatives, body[start:]]:
        texts = [""]
        for token in re.findall(r'"[^"]*"|\(.*\)|\w+', alternative.strip()):
            if token.startswith('"'):
                parts = [msgspec.json.decode(token.encode())]
            elif token.startswith("("):
                parts = spoken(rules, token[1:-1])
            else:
                parts = spoken(rules, rules[token])
            texts = [before + part for before in texts for part in parts]
        found += texts
    return found


def test_what_is_no_quote_of_its_passage_is_left_out() -> None:
    reader = QuoteReader(
        tuple(candidates_of([hit("a", SENTENCE), hit("b", "The mill stands still.")])), listed=False
    )
    pieces = ["“It is 221 metr", "es high” [1] “It is 900 metres high” [1] ", "“The mill stands still.” [1]"]
    assert [each.sentence.text for piece in pieces for each in reader.feed(piece)] == ["It is 221 metres high"]


@pytest.mark.asyncio(loop_scope="module")
async def test_each_quote_comes_whole_with_its_citation(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider("“It is 221 ", "metres high and holds back Lake Ardor.” [1]", Chunk(finish_reason="stop"))
    text, grounding, chunks = await ends(base, app(base, embedder, model))
    assert text == f"“{SENTENCE}” [1]"
    assert (grounding.mode, grounding.grounded, grounding.unsupported) == ("constrained", 1.0, ())
    (told,) = [chunk for chunk in chunks if chunk.grounding and chunk.grounding.stage == "partial"]
    assert told.grounding is not None
    assert (told.text, told.grounding.citations[0].quote) == (text, SENTENCE)
    constraint = model.exchanges[0].parameters.constraint
    assert constraint is not None
    assert constraint.kind == "ebnf"
    assert "documents do not say" not in constraint.source


@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_that_grounds_well_may_decline(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider(NOT_SAID)
    text, grounding, _ = await ends(base, app(base, embedder, model, grounds_well=True))
    assert (text, grounding.answered) == (NOT_SAID, False)
    constraint = model.exchanges[0].parameters.constraint
    assert constraint is not None
    assert NOT_SAID in constraint.source


@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_that_takes_schemas_has_a_list(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider('{"quotes": ["It is 221 metres high ', 'and holds back Lake Ardor.", "Invented."]}')
    text, grounding, _ = await ends(base, app(base, embedder, model, holding="schema"))
    assert text == f"“{SENTENCE}” [1]"
    assert grounding.answered
    constraint = model.exchanges[0].parameters.constraint
    assert constraint is not None
    listed = msgspec.json.decode(constraint.source)["properties"]["quotes"]["items"]["enum"]
    assert SENTENCE in listed
    empty = FakeProvider('{"quotes": []}')
    assert (await ends(base, app(base, embedder, empty, holding="schema")))[0] == NOT_SAID


@pytest.mark.parametrize("answer", [UnsupportedFeature("'small' does not support response_format."), "It is high."])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_that_cannot_be_held_is_an_error_that_says_so(
    base: KnowledgeBase, embedder: SentenceEncoder, answer: Any
) -> None:
    with pytest.raises(UnsupportedFeature, match="'handbook' answers only in quotes, and its model 'small' cannot"):
        await collected(app(base, embedder, FakeProvider(answer), holding="schema"), asking(HEIGHT))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_quote_that_is_cut_off_gives_way_to_a_whole_one(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    model = FakeProvider("“It is 221", Chunk(finish_reason="length"))
    text, grounding, chunks = await ends(base, app(base, embedder, model))
    assert text.endswith("” [1]")
    assert grounding.answered
    assert chunks[-1].finish_reason == "length"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_it_needs_and_what_it_refuses(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    with pytest.raises(ConfigError, match="is to answer in quotes that a model chooses but has no model"):
        GroundedApp("handbook", base, embedder, None, AnswerSettings(mode="constrained"))
    with pytest.raises(UnsupportedFeature, match="logprobs"):
        asked = asking(HEIGHT, parameters=Parameters(logprobs=True))
        await collected(app(base, embedder, FakeProvider("x")), asked)
