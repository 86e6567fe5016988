"""Settings of models elsewhere: what an account needs, and what is refused."""

from pathlib import Path

import pytest

from penstock.config import Secret, load
from penstock.errors import ConfigError

TOML = """
[models.big]
use = "azure/gpt-4.1"
base_url = "https://my.openai.azure.com"
"""


def read(folder: Path, lines: str) -> str:
    """What is wrong with more lines of a model, without the place."""
    (folder / "penstock.toml").write_text(TOML + lines)
    with pytest.raises(ConfigError) as caught:
        load(folder)
    return str(caught.value)


def test_an_account(tmp_path: Path) -> None:
    lines = (
        'deployment = "d1"\ntoken = { env = "ENTRA" }\nheaders = { X-Team = "a", X-Key = { env = "TEAM_KEY" } }\n'
    )
    (tmp_path / "penstock.toml").write_text(TOML + lines)
    model = load(tmp_path).settings.models["big"]
    assert (model.deployment, model.token) == ("d1", Secret.from_env("ENTRA"))
    assert model.headers == {"X-Team": "a", "X-Key": Secret.from_env("TEAM_KEY")}


@pytest.mark.parametrize(
    "address", ["h/v1", "ftp://h", "http://", "http://h:99999/v1", "http://h:0", "http://[::1"]
)
def test_an_address_is_one(tmp_path: Path, address: str) -> None:
    (tmp_path / "penstock.toml").write_text(TOML.replace("https://my.openai.azure.com", address))
    with pytest.raises(ConfigError, match=r"must be an address such as 'https://api\.example\.com/v1'"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('headers = { Host = "elsewhere" }', "models.big.headers.Host is not a header that can be set"),
        ('headers = { "a b" = "x" }', 'models.big.headers."a b" is not a header that can be set'),
        ('headers = { X = "a\\nb" }', "models.big.headers.X must be one line of text"),
        ("headers = { X = 3 }", 'models.big.headers.X must be text, or { env = "NAME" }'),
        ('headers = { Authorization = "Bearer s" }', "must not be written into the file: write { env ="),
        ('token = "secret"', "must not be written into the file"),
        ('token = { env = "A" }\napi_key = { env = "B" }', "models.big.api_key has no effect beside a token"),
        ('engine = "openvino"', "has no effect on 'azure/gpt-4.1'"),
    ],
)
def test_what_is_refused(tmp_path: Path, lines: str, reason: str) -> None:
    assert reason in read(tmp_path, lines)
