"""The whole, joined: an app folder with real models answers, is traced, composes elsewhere, and lets go again."""

import json
from pathlib import Path

import pytest

from penstock.config import load
from penstock.errors import ConfigError, ModelNotFound, StorageError, UnsupportedFeature
from penstock.exchange import LOCAL_PROJECT, Chunk, Constraint, Exchange, Message, Parameters
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.base import EVERYTHING
from penstock.platform import Platform
from penstock.testing.server import ProviderServer

pytestmark = pytest.mark.usefixtures("minilm_folder")

RETURNS = """# Returns

A customer can return a product within 30 days of delivery.

Refunds take five working days.
"""


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "returns.md").write_text(RETURNS)
    return folder


async def answer(platform: Platform, question: str) -> tuple[Exchange, list[Chunk]]:
    exchange = platform.exchange([Message("user", question)])
    return exchange, [chunk async for chunk in platform.pipeline.run(exchange)]


async def test_a_bare_folder_answers_with_verified_quotes_and_a_trace(handbook: Path) -> None:
    async with Platform.open(load(handbook)) as platform:
        summary = (await platform.ingest())["docs"]
        assert (summary.added, summary.statuses) == (1, {"ok": 1})
        exchange, chunks = await answer(platform, "Within how many days can a customer return a product?")
        assert chunks[0].text == ""
        assert chunks[0].grounding is not None
        assert chunks[0].grounding.stage == "evidence"
        grounding = chunks[-1].grounding
        assert grounding is not None
        assert (grounding.stage, grounding.mode, grounding.answered) == ("answer", "quote", True)
        citation = grounding.citations[0]
        text = platform.knowledge["docs"].document(citation.document_id, EVERYTHING).text
        assert text[citation.start : citation.end] == citation.quote
        assert "30 days" in citation.quote
        assert citation.heading == ("Returns",)
        await platform.traces.flush()
        detail = await platform.traces.get(exchange.trace_id, LOCAL_PROJECT)
        assert detail is not None
        assert detail.trace.release_id == platform.release.id
        assert detail.trace.generation == grounding.generation
        assert {"embed", "search", "evidence"} <= {span.name for span in detail.spans}
        assert platform.engines["default"].health().pid is None, "a quoted answer needs no engine"


async def test_the_local_model_answers_under_both_its_names(handbook: Path, smollm2_file: Path) -> None:
    async with Platform.open(load(handbook)) as platform:
        for name in ("default", "smollm2-135m-instruct"):
            exchange = Exchange(
                id=new_id("req"),
                trace_id=new_trace_id(),
                model=name,
                messages=(Message("user", "Say hello."),),
                parameters=Parameters(max_tokens=5, temperature=0),
            )
            chunks = [chunk async for chunk in platform.pipeline.run(exchange)]
            assert "".join(chunk.text for chunk in chunks)
            usage = chunks[-1].usage
            assert usage is not None
            assert 0 < usage.output <= 5
        with pytest.raises(ModelNotFound, match="did you mean 'handbook'"):
            await anext(platform.pipeline.run(exchange.replace(model="handbok", id=new_id("req"))))


async def test_a_model_elsewhere_composes_from_the_passages(handbook: Path) -> None:
    async with ProviderServer() as server:
        (handbook / "docs").mkdir()
        (handbook / "returns.md").rename(handbook / "docs" / "returns.md")
        (handbook / "penstock.toml").write_text(
            f'[app]\nname = "handbook"\n[models.default]\nuse = "acme/large"\nbase_url = "{server.base_url}"\n'
        )
        async with Platform.open(load(handbook)) as platform:
            await platform.ingest()
            exchange, chunks = await answer(platform, "Within how many days can a customer return a product?")
            grounding = chunks[-1].grounding
            assert grounding is not None
            assert grounding.mode == "compose"
            sent = json.loads(server.received[-1].body)
            assert sent["model"] == "large"
            assert "within 30 days of delivery" in sent["messages"][-1]["content"]
            await platform.traces.flush()
            detail = await platform.traces.get(exchange.trace_id, LOCAL_PROJECT)
            assert detail is not None
            (prompt,) = [span for span in detail.spans if span.kind == "prompt"]
            (model,) = [span for span in detail.spans if span.kind == "llm"]
            assert "within 30 days of delivery" in bytes(prompt.attributes).decode()
            assert json.loads(bytes(model.attributes))["gen_ai.request.model"] == "default"


async def test_what_a_caller_asks_of_the_answer_reaches_the_model_that_composes(handbook: Path) -> None:
    async with ProviderServer() as server:
        (handbook / "penstock.toml").write_text(
            f'[app]\nname = "handbook"\n[models.default]\nuse = "acme/large"\nbase_url = "{server.base_url}"\n'
            '[knowledge.docs]\nsources = ["*.md"]\n'
        )
        async with Platform.open(load(handbook)) as platform:
            await platform.ingest()
            exchange = platform.exchange([Message("user", "Within how many days can a customer return a product?")])
            constraint = Constraint("json_schema", '{"type": "string"}')
            asked = exchange.replace(parameters=Parameters(constraint=constraint, max_tokens=9))
            assert [chunk async for chunk in platform.pipeline.run(asked)]
            sent = json.loads(server.received[-1].body)
            assert sent["response_format"]["json_schema"]["schema"] == {"type": "string"}
            assert sent["max_tokens"] == 9


async def test_what_needs_a_model_is_refused_where_the_app_quotes(handbook: Path) -> None:
    async with Platform.open(load(handbook)) as platform:
        await platform.ingest()
        exchange = platform.exchange([Message("user", "How long?")])
        asked = exchange.replace(parameters=Parameters(logprobs=True))
        with pytest.raises(UnsupportedFeature, match="logprobs"):
            await anext(platform.pipeline.run(asked))


async def test_a_release_changes_with_what_shapes_answers_and_not_with_documents(handbook: Path) -> None:
    releases = []
    (handbook / "penstock.toml").write_text('[app]\nname = "handbook"\n')
    for step in range(4):
        if step == 1:
            (handbook / "returns.md").write_text(RETURNS + "\nGift cards are valid for three years.\n")
        if step == 2:
            (handbook / "penstock.toml").write_text('[app]\nname = "handbook"\nmode = "quote"\n')
        if step == 3:
            (handbook / "prompts").mkdir()
            (handbook / "prompts" / "answer.md").write_text("# user\n{{ passages }} {{ question }}\n")
        async with Platform.open(load(handbook)) as platform:
            await platform.ingest()
            releases.append(platform.release.id)
    assert releases[0] == releases[1]
    assert len({releases[1], releases[2], releases[3]}) == 3


async def test_a_folder_has_one_process_at_a_time(handbook: Path) -> None:
    async with Platform.open(load(handbook)):
        with pytest.raises(StorageError, match="is in use by process"):
            async with Platform.open(load(handbook)):
                pass
    async with Platform.open(load(handbook)) as again:
        assert again.knowledge["docs"].generation() == 0


async def test_an_empty_folder_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with Platform.open(load(tmp_path / "empty")) as platform:
        with pytest.raises(ConfigError, match=r"empty.*Markdown"):
            await platform.ingest()
