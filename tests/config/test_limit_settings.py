"""[[limits]] and [events]: what is accepted, and every wrong value with its line."""

from pathlib import Path

import pytest

from penstock.config import load
from penstock.errors import ConfigError

FINE = """
[[limits]]
requests = 100

[[limits]]
project = "team-*"
model = "gpt-4*"
key = "ci"
per = "user"
tokens = 20_000
usd = 12.5
concurrent = 4
window = "month"
warn_at = 0.8
unpriced = "refuse"

[events]
webhook = "https://hooks.example.com/penstock"
secret = { env = "HOOK" }
"""

PROBLEMS = {
    "nothing limited": (
        '[[limits]]\nproject = "a"',
        "1: limits[0] limits nothing: set at least one of requests, tokens, usd and concurrent.",
    ),
    "one bracket": (
        "[limits]\nrequests = 1",
        "1: limits must be a list of tables: write [[limits]] with two brackets.",
    ),
    "a number of none": ("[[limits]]\nrequests = 0", "2: limits[0].requests must be at least 1, not 0."),
    "half a request": (
        "[[limits]]\nrequests = 1.5",
        "2: limits[0].requests must be a whole number, not 1.5.",
    ),
    "no money": ("[[limits]]\nusd = 0", "2: limits[0].usd must be greater than 0, not 0."),
    "endless money": ("[[limits]]\nusd = inf", "2: limits[0].usd must be a finite number, not inf."),
    "money in words": ('[[limits]]\nusd = "5"', "2: limits[0].usd must be a number, not '5'."),
    "an unknown window": (
        '[[limits]]\nrequests = 1\nwindow = "1y"',
        "3: limits[0].window must be a time such as '10s', '1m', '1h' or '7d', at most 366d, or one of day, week "
        "and month, not '1y'.",
    ),
    "too long a window": (
        '[[limits]]\nrequests = 1\nwindow = "400d"',
        "3: limits[0].window must be a time such as '10s', '1m', '1h' or '7d', at most 366d, or one of day, week "
        "and month, not '400d'.",
    ),
    "a window of nothing": (
        '[[limits]]\nconcurrent = 1\nwindow = "1h"',
        "3: limits[0].window has no effect on concurrent, which is counted at every moment.",
    ),
    "percent": (
        "[[limits]]\nrequests = 10\nwarn_at = 80",
        "3: limits[0].warn_at must be less than 1, not 80.",
    ),
    "an unknown share": (
        '[[limits]]\nrequests = 1\nper = "team"',
        "3: limits[0].per must be one of project, key, model, user, all, not 'team'.",
    ),
    "unpriced without money": (
        '[[limits]]\nrequests = 1\nunpriced = "refuse"',
        "3: limits[0].unpriced has no effect without usd.",
    ),
    "the same twice": (
        "[[limits]]\nrequests = 10\n[[limits]]\ntokens = 5\nrequests = 20",
        "5: limits[1].requests limits the same as limits[0].",
    ),
    "the same at once twice": (
        '[[limits]]\nconcurrent = 1\n[[limits]]\nconcurrent = 2\nrequests = 1\nwindow = "1h"',
        "4: limits[1].concurrent limits the same as limits[0].",
    ),
    "an empty pattern": ('[[limits]]\nrequests = 1\nmodel = ""', "3: limits[0].model must not be empty."),
    "misspelt": (
        "[[limits]]\nrequest = 1",
        "2: limits[0].request is not a setting; did you mean 'requests'?",
    ),
    "no address": (
        '[events]\nwebhook = "hooks"',
        "2: events.webhook must be an address such as 'https://hooks.example.com/penstock'.",
    ),
    "an open address": (
        '[events]\nwebhook = "http://hooks.example.com/x"',
        "2: events.webhook must be https, for hooks.example.com is reached over the open network.",
    ),
    "a password": (
        '[events]\nwebhook = "https://me:secret@hooks.example.com"',
        "2: events.webhook must not hold a password; use secret.",
    ),
    "a secret for nobody": (
        '[events]\nsecret = { env = "HOOK" }',
        "2: events.secret has no effect without webhook.",
    ),
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PENSTOCK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "penstock.toml"


def test_what_is_said_holds(write: Path) -> None:
    write.write_text(FINE)
    settings = load(write).settings
    plain, full = settings.limits
    assert (plain.requests, plain.window, plain.per, plain.warn_at) == (100, "1m", "project", None)
    assert (full.tokens, full.usd, full.concurrent, full.window) == (20_000, 12.5, 4, "month")
    assert settings.events.webhook == "https://hooks.example.com/penstock"


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_wrong_value_is_named_with_its_line(write: Path, name: str) -> None:
    text, message = PROBLEMS[name]
    write.write_text(text.replace("\\\n", "\n"))
    with pytest.raises(ConfigError) as caught:
        load(write)
    assert caught.value.message.removeprefix("penstock.toml:") == message
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "10.1.2.3", "[::1]:80", "alerts", "hooks.internal"])
def test_an_address_of_the_own_network_need_not_be_https(write: Path, host: str) -> None:
    write.write_text(f'[events]\nwebhook = "http://{host}/x"')
    assert load(write).settings.events.webhook == f"http://{host}/x"
