"""Servers that several tests of the cache use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cache_servers import CacheServer, memcached_server, redis_server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def memcached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    with memcached_server(tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a socket must not be long."""
    return tmp_path_factory.mktemp("s")
