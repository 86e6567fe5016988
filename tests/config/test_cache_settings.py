"""What [cache] accepts, and what it says to what it does not."""

from pathlib import Path

import pytest

from penstock.config import load
from penstock.errors import ConfigError

MODEL = '[app]\nname = "gate"\n\n[models.default]\nuse = "openai/gpt-4.1-mini"\n\n'


def loaded(folder: Path, text: str):
    (folder / "penstock.toml").write_text(MODEL + text)
    return load(folder).settings.cache


def test_off_by_default(tmp_path: Path) -> None:
    assert not loaded(tmp_path, "").enabled
    assert not loaded(tmp_path, '[cache]\nenabled = false\nstore = "sqlite"\n').enabled


def test_everything_at_once(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[cache]\nenabled = true\nstore = "redis"\nurl = { env = "CACHE_URL" }\nmodels = ["gpt-*"]\n'
        'ttl_seconds = 60\nscope = "user"\n\n[cache.semantic]\nthreshold = 0.95\nmax_questions = 10\n',
    )
    assert found.semantic is not None
    assert (found.url.env, found.models, found.semantic.threshold) == ("CACHE_URL", ("gpt-*",), 0.95)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('store = "sqlite"', "cache.store has no effect while the cache is off: add enabled = true"),
        ('enabled = true\nstore = "reddis"', "cache.store must be one of memory, sqlite, redis, memcached"),
        ('enabled = true\nstore = "redis"', "cache.url is missing: where is redis?"),
        ('enabled = true\nurl = { env = "X" }', "cache.url has no effect with store = 'memory'"),
        (
            'enabled = true\nstore = "memcached"\nurl = { env = "X" }\nmax_mb = 5',
            "cache.max_mb has no effect on memcached",
        ),
        (
            'enabled = true\nurl = "redis://:secret@host"\nstore = "redis"',
            "cache.url must not be written into the file",
        ),
        ("enabled = true\nttl_seconds = 0", "cache.ttl_seconds must be greater than 0"),
        ("enabled = true\nmodels = []", "cache.models must not be empty"),
        (
            'enabled = true\n[cache.semantic]\nembedder = "another"',
            "cache.semantic.threshold is missing, and there is no calibrated one for 'another'",
        ),
        ("enabled = true\n[cache.semantic]\nthreshold = 1.5", "cache.semantic.threshold must be at most 1"),
        ("enabled = true\nttl_second = 5", "cache.ttl_second is not a setting; did you mean 'ttl_seconds'?"),
    ],
)
def test_a_problem_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"[cache]\n{text}\n")
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
