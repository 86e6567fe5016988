"""One whole server with a simulated provider for all tests of this folder, in local mode and with keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real_gateway import RealGateway, real_gateway


@pytest.fixture(scope="session")
def local_gateway(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    with real_gateway(tmp_path_factory.mktemp("local") / "app") as it:
        yield it


@pytest.fixture(scope="session")
def keyed_gateway(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    """With a key "owner", a key "developer", and a key "frugal" that may make one request an hour."""
    with real_gateway(tmp_path_factory.mktemp("keyed") / "app") as it:
        it.make_key("owner", "owner")
        it.make_key("developer")
        it.make_key("frugal")
        yield it
