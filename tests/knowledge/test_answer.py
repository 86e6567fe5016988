"""The app: evidence first, then quotes or a composed answer, each part of it with what it stands on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from support.grounding import DOCUMENTS, RecordingTracer, asking, collected, documents, encoder

from penstock.errors import (
    ConfigError,
    ContextLengthExceeded,
    InvalidRequest,
    PenstockError,
    Unavailable,
    UnsupportedFeature,
    UpstreamFailed,
)
from penstock.exchange import Chunk, Constraint, Exchange, Message, Parameters, TokenLogprob, Usage
from penstock.knowledge.answer import NOT_SAID, AnswerSettings, GroundedApp
from penstock.knowledge.base import EVERYTHING, KnowledgeBase
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.prompts.template import parse_prompt
from penstock.testing.provider import FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEIGHT = "How high is the Grand Valley Dam?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(embedder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    async with documents(tmp_path_factory.mktemp("answers"), embedder) as it:
        yield it


@pytest.fixture
def quoting(base: KnowledgeBase, embedder: SentenceEncoder) -> GroundedApp:
    return GroundedApp("handbook", base, embedder, None, AnswerSettings())


def composing(base: KnowledgeBase, embedder: SentenceEncoder, model: FakeProvider, **settings: Any) -> GroundedApp:
    chosen = AnswerSettings(mode="compose", model="strong", **settings)
    return GroundedApp("handbook", base, embedder, model.answer, chosen)


async def test_evidence_comes_first_and_the_answer_is_made_of_it(quoting: GroundedApp, base: KnowledgeBase) -> None:
    text, grounding, chunks = await collected(quoting, asking(HEIGHT))
    first = chunks[0]
    assert first.grounding is not None
    assert (first.text, first.grounding.stage, first.grounding.mode) == ("", "evidence", "quote")
    assert (grounding.stage, grounding.answered, grounding.knowledge) == ("answer", True, "handbook")
    assert grounding.generation == base.generation()
    assert "221 metres" in text
    assert [c.quote for c in grounding.citations] == [c.quote for c in first.grounding.citations]
    for citation in grounding.citations:
        assert base.document(citation.document_id, EVERYTHING).text[citation.start : citation.end] == citation.quote
        assert text[citation.answer_start : citation.answer_end] == f"{citation.quote} [{citation.number}]"
        assert citation.url.startswith(f"/knowledge/handbook/{citation.document_id}?chunk=")
    assert chunks[-1].finish_reason == "stop"
    assert chunks[-1].usage == Usage(input=0, output=0)


@pytest.mark.parametrize(
    ("question", "document", "quote"),
    [
        ("When can I send a product back?", "returns.md", "A customer can return a product within 30 days"),
        ("Who designed the power station?", "dam.txt", "Its power station was designed by the engineer Mara"),
        ("高さは何メートルですか", "日本.txt", "高さは三千七百七十六メートルです。"),
        ("What is the code word?", 'odd "name" & more.txt', "The code word is mango."),
    ],
)
async def test_the_right_sentence_is_quoted(quoting: GroundedApp, question: str, document: str, quote: str) -> None:
    _, grounding, _ = await collected(quoting, asking(question, parameters=Parameters(max_tokens=1)))
    (citation,) = grounding.citations
    assert citation.document == document
    assert citation.quote.startswith(quote)


async def test_the_heading_path_comes_along(quoting: GroundedApp) -> None:
    _, grounding, _ = await collected(quoting, asking("Can opened software be returned?"))
    cited = next(citation for citation in grounding.citations if "software" in citation.quote)
    assert (cited.title, cited.heading[0]) == ("Returns", "Returns")


@pytest.mark.parametrize(
    "question",
    [
        "What is the boiling point of tungsten?",
        "Which player scored the winning goal in the 2014 final?",
        "How do I configure a Kubernetes ingress controller?",
        "asdfgh qwertz",
    ],
)
async def test_what_the_documents_do_not_say_is_said(quoting: GroundedApp, question: str) -> None:
    text, grounding, chunks = await collected(quoting, asking(question))
    assert text.startswith(NOT_SAID)
    assert not grounding.answered
    assert chunks[0].grounding is not None
    assert not chunks[0].grounding.answered
    assert grounding.score < 0.2
    for citation in grounding.citations:
        assert text[citation.answer_start : citation.answer_end] == f"[{citation.number}]"


async def test_a_follow_up_is_searched_with_its_context(quoting: GroundedApp) -> None:
    alone, _, _ = await collected(quoting, asking("And how high is it?"))
    text, grounding, _ = await collected(
        quoting, asking("Tell me about the Grand Valley Dam.", "It was finished in 1936.", "And how high is it?")
    )
    assert grounding.citations[0].document == "dam.txt"
    assert "221 metres" in text
    assert not alone.startswith("It is 221 metres high") or alone != text


async def test_max_tokens_leaves_out_sentences_but_never_the_first(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings(sentences=3))
    question = "What is known about the Normans and their leader Rollo?"
    whole, full, _ = await collected(app, asking(question))
    short, one, chunks = await collected(app, asking(question, parameters=Parameters(max_tokens=1)))
    assert len(full.citations) > len(one.citations) == 1
    assert whole.startswith(short)
    assert chunks[-1].finish_reason == "length"


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (Parameters(constraint=Constraint("json_schema", "{}")), "response_format"),
        (Parameters(logprobs=True), "logprobs"),
    ],
)
async def test_what_only_a_model_can_do_is_refused_with_the_way_out(
    quoting: GroundedApp, parameters: Parameters, name: str
) -> None:
    with pytest.raises(UnsupportedFeature, match=name) as caught:
        await collected(quoting, asking(HEIGHT, parameters=parameters))
    assert caught.value.param == name
    assert 'mode = "compose"' in caught.value.hint


async def test_questions_that_cannot_be_asked(quoting: GroundedApp) -> None:
    with pytest.raises(InvalidRequest, match="no question"):
        await collected(quoting, asking("   "))
    with pytest.raises(ContextLengthExceeded, match=r"9,000 characters; at most 8,000"):
        await collected(quoting, asking("x" * 9_000))
    with pytest.raises(UnsupportedFeature, match="does not embed"):
        await collected(quoting, asking(HEIGHT, operation="embed"))


async def test_an_empty_knowledge_base_says_so(embedder: SentenceEncoder, tmp_path: Path) -> None:
    empty = KnowledgeBase.open(tmp_path / "empty.db", "nothing", embedder)
    try:
        app = GroundedApp("handbook", empty, embedder, None, AnswerSettings())
        with pytest.raises(Unavailable, match="'nothing' has no documents yet"):
            await collected(app, asking(HEIGHT))
    finally:
        empty.close()


@pytest.mark.parametrize(
    ("mode", "model", "grounds_well", "composes"),
    [
        ("auto", "small", False, False),
        ("auto", "strong", True, True),
        ("auto", "", True, False),
        ("quote", "strong", True, False),
        ("compose", "small", False, True),
    ],
)
async def test_which_mode_composes(
    base: KnowledgeBase,
    embedder: SentenceEncoder,
    mode: Literal["auto", "quote", "compose"],
    model: str,
    grounds_well: bool,
    composes: bool,
) -> None:
    provider = FakeProvider("It is 221 metres high. [1]")
    settings = AnswerSettings(mode=mode, model=model, grounds_well=grounds_well)
    app = GroundedApp("handbook", base, embedder, provider.answer, settings)
    _, grounding, _ = await collected(app, asking(HEIGHT))
    assert (len(provider.exchanges) == 1) is composes
    assert grounding.mode == ("compose" if composes else "quote")


async def test_composing_without_a_model_is_a_configuration_error(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    with pytest.raises(ConfigError, match="has no model"):
        GroundedApp("handbook", base, embedder, None, AnswerSettings(mode="compose", model="strong"))


async def test_a_composed_answer_streams_through_and_is_attributed(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    usage = Usage(input=90, output=7)
    model = FakeProvider("The Grand Valley Dam is 221 ", "metres high.", Chunk(finish_reason="stop", usage=usage))
    text, grounding, chunks = await collected(composing(base, embedder, model), asking(HEIGHT))
    assert [chunk.text for chunk in chunks] == ["", "The Grand Valley Dam is 221 ", "metres high.", ""]
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("stop", usage)
    cited = next(citation for citation in grounding.citations if citation.answer_start is not None)
    assert (cited.answer_start, cited.answer_end) == (0, len(text))
    assert "221 metres" in cited.quote
    assert grounding.unsupported == ()
    evidence = chunks[0].grounding
    assert evidence is not None
    assert (evidence.stage, evidence.mode) == ("evidence", "compose")
    assert "221 metres" in " ".join(citation.quote for citation in evidence.citations)


async def test_what_the_model_invents_is_marked(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider("The Grand Valley Dam is 221 metres high. [1] It cost 12 million dollars. [1]")
    text, grounding, _ = await collected(composing(base, embedder, model), asking(HEIGHT))
    assert [text[start:end] for start, end in grounding.unsupported] == ["It cost 12 million dollars."]


@pytest.mark.parametrize("answer", [NOT_SAID, f"“{NOT_SAID}”", f"{NOT_SAID} Lake Ardor is full of whales."])
async def test_a_model_that_finds_no_answer_is_not_an_answer(
    base: KnowledgeBase, embedder: SentenceEncoder, answer: str
) -> None:
    tracer = RecordingTracer()
    app = composing(base, embedder, FakeProvider(answer))
    _, grounding, chunks = await collected(app, asking(HEIGHT, tracer=tracer))
    assert not grounding.answered
    assert grounding.grounded is None
    assert not any(chunk.grounding.unsupported for chunk in chunks if chunk.grounding)
    assert tracer.named("attribution").attributes["claims"] == []


async def test_the_model_is_not_asked_what_the_documents_do_not_say(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    model = FakeProvider("Paris.")
    text, grounding, _ = await collected(
        composing(base, embedder, model), asking("What is the boiling point of tungsten?")
    )
    assert model.exchanges == []
    assert text.startswith(NOT_SAID)
    assert not grounding.answered


async def test_what_the_model_is_sent(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider("It is 221 metres high. [1]")
    tracer = RecordingTracer()
    caller = asking(
        "What is the Grand Valley Dam?",
        "A dam.",
        HEIGHT,
        parameters=Parameters(temperature=0.9, max_tokens=50, stop=("END",), logprobs=True),
        body=b'{"model": "handbook"}',
        dialect="openai",
        tracer=tracer,
    )
    caller = caller.replace(messages=(Message("system", "Answer like a pirate."), *caller.messages))
    await collected(composing(base, embedder, model), caller)
    (sent,) = model.exchanges
    assert [message.role for message in sent.messages] == ["system", "system", "user", "assistant", "user"]
    assert sent.messages[1].text == "Answer like a pirate."
    assert sent.messages[-1].text.endswith(f"<question>\n{HEIGHT}\n</question>")
    assert (sent.model, sent.parent_id, sent.body, sent.dialect) == ("strong", caller.id, b"", "")
    assert sent.trace_id == caller.trace_id
    assert sent.deadline == caller.deadline
    assert sent.parameters == caller.parameters
    assert tracer.named("prompt").attributes["messages"] == sent.messages
    assert [span.name for span in tracer.spans] == [
        "round 1",
        "embed",
        "search",
        "evidence",
        "prompt",
        "attribution",
    ]
    assert tracer.named("evidence").attributes["sentences"][0]["document"] == "dam.txt"


async def test_the_prompt_s_own_parameters_hold_where_the_caller_says_nothing(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    model = FakeProvider("221 metres.")
    prompt = parse_prompt(
        "---\ntemperature: 0.1\nmax_tokens: 40\n---\n# user\n{{ question }}", "p", "p.md", ["question"]
    )
    app = composing(base, embedder, model, prompt=prompt)
    await collected(app, asking(HEIGHT, parameters=Parameters(max_tokens=9)))
    parameters = model.exchanges[0].parameters
    assert (parameters.temperature, parameters.max_tokens) == (0.1, 9)


async def test_a_prompt_of_one_s_own_says_where_a_passage_stands(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    model = FakeProvider("221 metres. [1]")
    passages = "{% for each in passages %}{{ each.title }}: {{ each.location }}\n{% endfor %}"
    prompt = parse_prompt(f"# user\n{passages}{{{{ question }}}}", "p", "p.md", ["question", "passages"])
    await collected(composing(base, embedder, model, prompt=prompt), asking(HEIGHT))
    assert "dam: lines 1–3\n" in model.exchanges[0].messages[-1].text


async def test_a_document_cannot_leave_its_delimiters(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider("Mango. [1]")
    await collected(composing(base, embedder, model), asking("What is the code word?"))
    sent = model.exchanges[0].messages[-1].text
    assert "{{ config }}" in sent
    assert sent.count("</passage>") == sent.count("<passage ")
    assert DOCUMENTS['odd "name" & more.txt'].strip() not in sent


async def test_token_probabilities_ride_along(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    probable = Chunk(text="221 metres.", logprobs=(TokenLogprob("221", -0.1),))
    _, _, chunks = await collected(composing(base, embedder, FakeProvider(probable)), asking(HEIGHT))
    assert chunks[1].logprobs == probable.logprobs


async def test_an_answer_that_nobody_reads_any_more_ends_the_model_s_work(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    model = FakeProvider(*["word "] * 1000)
    stream = composing(base, embedder, model).answer(asking(HEIGHT))
    async for chunk in stream:
        if chunk.text:
            break
    await stream.aclose()
    assert (model.running, model.left) == (0, 1)


async def test_a_model_that_fails_midway_fails_the_answer(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider("The dam ", UpstreamFailed("the model broke off"))
    seen = []
    with pytest.raises(PenstockError, match="broke off"):
        async for chunk in composing(base, embedder, model).answer(asking(HEIGHT)):
            seen.append(chunk)
    assert [chunk.text for chunk in seen] == ["", "The dam "]


async def test_a_quote_that_is_not_in_its_document_is_left_out(
    base: KnowledgeBase, embedder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "texts", lambda ranges, reader: ["something else"] * len(ranges))
    text, grounding, _ = await collected(
        GroundedApp("handbook", base, embedder, None, AnswerSettings()), asking(HEIGHT)
    )
    assert grounding.citations == ()
    assert "221" not in text


async def test_completions_are_answered_from_their_prompt(quoting: GroundedApp) -> None:
    asked: Exchange = asking(operation="complete", prompt=HEIGHT)
    text, _, _ = await collected(quoting, asked)
    assert "221 metres" in text
