"""What every embedder does, whatever makes its vectors: one class, run against each of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from support.embedding_apis import cohere, ollama, openai, voyage
from support.tiny_models import write_encoder

from penstock.config.secret import Secret
from penstock.errors import PenstockError
from penstock.models.encoders.child import TextModel
from penstock.models.encoders.messages import Setup
from penstock.models.encoders.remote import RemoteEmbedder
from penstock.models.encoders.sentence import EncoderOptions, SentenceEncoder
from penstock.models.providers.vendors import remote
from penstock.seams import Embedder
from penstock.testing import FakeEmbedder, ProviderServer, Received, Reply

Behave = Callable[[Received], Reply]
APIS: dict[str, tuple[str, str, Behave]] = {
    "openai": ("openai/text-embedding-3-small", "/v1", openai),
    "cohere": ("cohere/embed-v4.0", "", cohere),
    "voyage": ("voyage/voyage-3.5", "/v1", voyage),
    "ollama": ("ollama/nomic-embed-text", "/v1", ollama),
    "own": ("own/bge-small", "/v1", openai),
}


def save_as_ir(folder: Path, minilm: Path) -> Path:
    """MiniLM's graph as an exporter of OpenVINO IR writes one, without a head."""
    setup = Setup(
        graph=str(minilm / "model.safetensors"),
        tokenizer=str(minilm / "tokenizer.json"),
        precision="f32",
        threads=1,
        max_tokens=256,
    )
    folder.mkdir()
    ov.save_model(TextModel(setup)._model, folder / "openvino_model.xml", compress_to_fp16=False)
    for name in ("tokenizer.json", "config.json", "sentence_bert_config.json"):
        (folder / name).write_bytes((minilm / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def ir_folder(tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path) -> Path:
    return save_as_ir(tmp_path_factory.mktemp("ir") / "minilm-ir", minilm_folder)


@pytest.fixture(params=["minilm", "ir", "onnx", "fake", *APIS])
async def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Embedder]:
    async with AsyncExitStack() as stack:
        made: SentenceEncoder | RemoteEmbedder | FakeEmbedder
        if request.param == "fake":
            made = FakeEmbedder()
        elif request.param in APIS:
            use, path, behave = APIS[request.param]
            server = await stack.enter_async_context(ProviderServer(behave))
            made = RemoteEmbedder(remote(use, server.url + path, Secret("sk-not-a-real-key")))
        elif request.param == "minilm":
            folder = request.getfixturevalue("minilm_folder")
            made = SentenceEncoder(folder, EncoderOptions(precision="f32", threads=2))
        else:
            folder = tmp_path / "tiny"
            write_encoder(folder)
            if request.param == "ir":
                ov.save_model(ov.Core().read_model(folder / "model.onnx"), folder / "openvino_model.xml")
                (folder / "model.onnx").unlink()
            made = SentenceEncoder(folder, EncoderOptions(precision="f32", threads=1))
        if not isinstance(made, FakeEmbedder):
            await made.start()
        stack.push_async_callback(made.close)
        yield made


class TestEmbedder:
    async def test_each_text_has_a_vector_of_length_1(self, embedder: Embedder) -> None:
        for kind in ("passage", "query"):
            found = await embedder.embed(["the gate is open", "water", ""], kind=kind)
            assert found.vectors.shape == (3, embedder.dimensions)
            assert found.vectors.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
            assert found.tokens >= 0

    async def test_no_texts_give_no_vectors(self, embedder: Embedder) -> None:
        found = await embedder.embed([])
        assert (found.vectors.shape, found.tokens) == ((0, embedder.dimensions), 0)

    async def test_a_text_has_the_same_vector_in_any_company(self, embedder: Embedder) -> None:
        texts = [f"the gate {'water ' * count}is open" for count in range(40)]
        together = (await embedder.embed(texts)).vectors
        alone = [(await embedder.embed([text], urgent=True)).vectors[0] for text in texts[::7]]
        np.testing.assert_allclose(together[::7], alone, atol=1e-4)

    async def test_callers_at_once_get_their_own(self, embedder: Embedder) -> None:
        texts = [f"{'turbine ' * (count % 5)}open{' water' * (count % 3)}" for count in range(30)]
        answers = await asyncio.gather(
            *(embedder.embed([text], urgent=bool(count % 2)) for count, text in enumerate(texts))
        )
        expected = (await embedder.embed(texts)).vectors
        np.testing.assert_allclose([one.vectors[0] for one in answers], expected, atol=1e-4)

    @pytest.mark.parametrize("text", [" \n", "half a pair: \ud83d", "a\x00b", "水 " * 20])
    async def test_any_text_has_a_vector(self, embedder: Embedder, text: str) -> None:
        found = await embedder.embed([text])
        np.testing.assert_allclose(np.linalg.norm(found.vectors), 1, atol=1e-5)

    async def test_a_text_over_the_length_is_cut(self, embedder: Embedder) -> None:
        found = await embedder.embed(["the gate is open and the water is closed " * 4000])
        np.testing.assert_allclose(np.linalg.norm(found.vectors), 1, atol=1e-5)

    async def test_it_has_a_name_and_a_fingerprint_without_a_key(self, embedder: Embedder) -> None:
        assert embedder.name
        assert embedder.fingerprint == embedder.fingerprint != ""
        assert "sk-not-a-real-key" not in embedder.fingerprint

    async def test_a_caller_that_leaves_disturbs_nobody(self, embedder: Embedder) -> None:
        leaving = asyncio.create_task(embedder.embed(["the gate is open"] * 50))
        staying = asyncio.create_task(embedder.embed(["water"]))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await staying).vectors.shape == (1, embedder.dimensions)

    async def test_a_closed_one_says_so(self, embedder: Embedder) -> None:
        if isinstance(embedder, FakeEmbedder):
            pytest.skip("the fake has nothing to close")
        await embedder.close()
        with pytest.raises(PenstockError, match="is not running"):
            await embedder.embed(["late"])


async def test_ir_gives_the_vectors_of_the_weights(ir_folder: Path, minilm_folder: Path) -> None:
    vectors = []
    for folder in (ir_folder, minilm_folder):
        encoder = SentenceEncoder(folder, EncoderOptions(precision="f32", threads=1))
        await encoder.start()
        vectors.append((await encoder.embed(["How is water brought to the turbine?", "The gate"])).vectors)
        await encoder.close()
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
