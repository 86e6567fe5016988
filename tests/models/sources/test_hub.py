"""Files of a hub over real HTTP: resumed, verified, with a token that stays where it belongs."""

import hashlib
import random
from pathlib import Path

import pytest
from support.hub_server import Hub, serve

from penstock.errors import PullFailed
from penstock.models.catalog import ModelCard, ModelFile
from penstock.models.pull import manifest, pull

BODY = random.Random(7).randbytes(300_000)
ADDRESS = "hf:owner/repo/model.gguf@v1"
PATH = "/owner/repo/resolve/v1/model.gguf"


def card(**changes: object) -> ModelCard:
    values = {
        "name": "tiny",
        "kind": "chat",
        "context": 1,
        "capabilities": ("chat",),
        "licence": "none",
        "parameters": 1,
        "files": (ModelFile(name="model.gguf", size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest()),),
        "sources": ("hf:owner/repo/@v1",),
    }
    return ModelCard(**{**values, **changes})


def leftovers(cache: Path) -> list[str]:
    """Everything below the cache but the locks, without the folders."""
    models = cache / "models"
    return sorted(
        str(path.relative_to(models)) for path in models.rglob("*") if path.is_file() and ".locks" not in path.parts
    )


def test_a_file_is_fetched_whole_and_recorded(hub: Hub) -> None:
    hub.files[PATH] = BODY
    seen = []
    folder = pull(ADDRESS, seen.append)
    assert (folder / "model.gguf").read_bytes() == BODY
    record = manifest(folder)
    assert record.source == ADDRESS
    assert record.files == (ModelFile(name="model.gguf", size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest()),)
    downloads = [progress for progress in seen if progress.phase == "download"]
    assert (downloads[-1].done_bytes, downloads[-1].total_bytes) == (len(BODY), len(BODY))
    assert seen[-1].phase == "done"


def test_what_is_here_is_not_fetched_again(hub: Hub) -> None:
    hub.files[PATH] = BODY
    assert pull(ADDRESS) == pull(ADDRESS)
    assert len(hub.requests) == 1


def test_a_file_in_a_subfolder_keeps_its_place(hub: Hub) -> None:
    hub.files["/owner/repo/resolve/v1/sub/model.gguf"] = BODY
    files = (ModelFile(name="sub/model.gguf"),)
    assert (pull(card(files=files)) / "sub" / "model.gguf").read_bytes() == BODY


def test_a_dropped_connection_goes_on_where_it_stopped(hub: Hub) -> None:
    hub.files[PATH] = BODY
    hub.cut_after = [100_000, 50_000]
    folder = pull(ADDRESS)
    assert (folder / "model.gguf").read_bytes() == BODY
    assert hub.ranges() == ["", "bytes=100000-", "bytes=150000-"]


def test_the_next_pull_goes_on_where_the_last_one_stopped(hub: Hub, cache: Path) -> None:
    hub.files[PATH] = BODY
    hub.cut_after = [200_000, 0, 0]
    with pytest.raises(
        PullFailed, match=r"model\.gguf of owner/repo@v1 was not fetched: the connection ended"
    ) as caught:
        pull(ADDRESS)
    assert "the next pull goes on where this one stopped" in caught.value.hint
    assert [name.rpartition("/")[2] for name in leftovers(cache)] == [
        "model.gguf.partial",
        "model.gguf.partial.etag",
    ]
    hub.requests.clear()
    folder = pull(ADDRESS)
    assert (folder / "model.gguf").read_bytes() == BODY
    assert hub.ranges() == ["bytes=200000-"]
    assert {Path(name).name for name in leftovers(cache)} == {"model.gguf", "penstock.json"}


def test_a_file_that_changed_meanwhile_is_fetched_anew(hub: Hub) -> None:
    hub.files[PATH] = BODY
    hub.cut_after = [200_000, 0, 0]
    with pytest.raises(PullFailed):
        pull(ADDRESS)
    hub.files[PATH] = changed = BODY[::-1]
    assert (pull(ADDRESS) / "model.gguf").read_bytes() == changed


def test_without_an_etag_nothing_is_resumed(hub: Hub) -> None:
    hub.files[PATH] = BODY
    hub.etags = False
    hub.cut_after = [200_000]
    assert (pull(ADDRESS) / "model.gguf").read_bytes() == BODY
    assert hub.ranges() == ["", ""]


def test_a_partial_that_is_whole_already_is_taken(hub: Hub, cache: Path) -> None:
    hub.files[PATH] = BODY
    hub.cut_after = [200_000, 0, 0]
    with pytest.raises(PullFailed):
        pull(ADDRESS)
    (partial,) = (cache / "models" / ".work").rglob("*.partial")
    partial.write_bytes(BODY)
    assert (pull(ADDRESS) / "model.gguf").read_bytes() == BODY


def test_a_partial_that_is_too_long_is_thrown_away(hub: Hub, cache: Path) -> None:
    hub.files[PATH] = BODY
    hub.cut_after = [200_000, 0, 0]
    with pytest.raises(PullFailed):
        pull(ADDRESS)
    (partial,) = (cache / "models" / ".work").rglob("*.partial")
    partial.write_bytes(BODY + b"more")
    assert (pull(ADDRESS) / "model.gguf").read_bytes() == BODY


def test_a_busy_hub_is_asked_again(hub: Hub) -> None:
    hub.files[PATH] = BODY
    hub.statuses = [503, 429]
    assert (pull(ADDRESS) / "model.gguf").read_bytes() == BODY


def test_a_wrong_hash_keeps_nothing(hub: Hub, cache: Path) -> None:
    hub.files[PATH] = b"x" + BODY[1:]
    with pytest.raises(
        PullFailed, match=r"model\.gguf of tiny has sha256 [0-9a-f]{64} where [0-9a-f]{64} was expected"
    ):
        pull(card())
    assert leftovers(cache) == []
    hub.files[PATH] = BODY
    assert (pull(card()) / "model.gguf").read_bytes() == BODY


def test_a_wrong_size_is_refused_before_it_is_fetched(hub: Hub, cache: Path) -> None:
    hub.files[PATH] = BODY + b"x"
    with pytest.raises(PullFailed, match=r"has 300,001 bytes where 300,000 were expected"):
        pull(card())
    assert leftovers(cache) == []


def test_the_digest_that_the_hub_names_is_checked(hub: Hub, cache: Path) -> None:
    with serve(Hub(files={PATH: BODY})) as storage:
        hub.redirect_to = storage.url
        hub.linked_etag = '"' + "0" * 64 + '"'
        with pytest.raises(PullFailed, match="where 0000000000"):
            pull(ADDRESS)
        assert leftovers(cache) == []
        hub.linked_etag = f'"{hashlib.sha256(BODY).hexdigest()}"'
        assert (pull(ADDRESS) / "model.gguf").read_bytes() == BODY


def test_the_token_goes_to_the_hub_and_no_further(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.token = "hf_secret"
    with serve(Hub(files={PATH: BODY})) as storage:
        hub.redirect_to = storage.url
        pull(ADDRESS)
    assert hub.requests[0][1]["Authorization"] == "Bearer hf_secret"
    assert all("Authorization" not in headers for _, headers in storage.requests)


def test_a_refusal_says_what_to_set_and_not_the_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    hub.token = "hf_right"
    with pytest.raises(
        PullFailed, match=r"the hub refuses model\.gguf of owner/repo@v1 \(HTTP 401\)\. Set HF_TOKEN"
    ) as caught:
        pull(ADDRESS)
    assert "hf_wrong" not in str(caught.value)


def test_a_missing_file_is_named(hub: Hub) -> None:
    with pytest.raises(PullFailed, match=r"the hub has no model\.gguf in owner/repo@v1"):
        pull(ADDRESS)


def test_a_repository_alone_is_no_model(hub: Hub) -> None:
    with pytest.raises(PullFailed, match="names no file"):
        pull("hf:owner/repo/@v1")


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://user:pass@127.0.0.1:9")
    with pytest.raises(PullFailed, match=r"was not fetched: .*Check the network, HF_ENDPOINT") as caught:
        pull(ADDRESS)
    assert "pass" not in str(caught.value).replace("passed", "")
    assert leftovers(cache) == []


def test_an_endpoint_that_is_no_web_address(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"file://{Path.cwd()}")
    with pytest.raises(PullFailed, match="HF_ENDPOINT is no web address"):
        pull(ADDRESS)


def test_the_second_source_helps_when_the_first_fails(hub: Hub) -> None:
    hub.files["/other/repo/resolve/main/model.gguf"] = BODY
    folder = pull(card(sources=("hf:owner/repo/@v1", "hf:other/repo/@main")))
    assert manifest(folder).source == "hf:other/repo/@main"


def test_when_all_sources_fail_each_says_why(hub: Hub) -> None:
    with pytest.raises(
        PullFailed, match=r"tiny was not fetched from any of its sources: \(1\) the hub has no .* \(2\) the hub"
    ):
        pull(card(sources=("hf:owner/repo/@v1", "hf:other/repo/@main")))
