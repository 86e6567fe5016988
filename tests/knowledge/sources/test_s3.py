"""Buckets: all pages of a listing or none, and requests that are signed as the specification says."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.s3_server import KEY, REGION, SECRET, Bucket, bucket

from penstock.errors import BodyTooLarge, NotFound, Unavailable, UpstreamFailed
from penstock.knowledge.sources.base import SourceRules
from penstock.knowledge.sources.s3 import Bucket as Place
from penstock.knowledge.sources.s3 import S3Options, S3Source
from penstock.models.providers.signing import Credentials, Scope, Signature

DEFAULTS = S3Options()
RULES = SourceRules(metadata={"team": "hr"}, readers=("group:hr",))


@pytest.fixture
async def served() -> AsyncIterator[Bucket]:
    async with bucket() as served:
        served.objects = {f"r/{number}.md": f"# Report {number}".encode() for number in range(8)}
        yield served


def source_of(served: Bucket, options: S3Options = DEFAULTS, secret: str = SECRET, prefix: str = "") -> S3Source:
    place = Place(
        name=served.name, prefix=prefix, endpoint=served.url, region=REGION, credentials=Credentials(KEY, secret)
    )
    return S3Source("reports", place, options, RULES)


async def test_all_pages_are_listed_and_versions_are_entity_tags(served: Bucket, tmp_path: Path) -> None:
    source = source_of(served, S3Options(link="https://files.example.com/{key}"))
    listing = await source.list(b"")
    assert [item.key for item in listing.items] == sorted(served.objects)
    assert served.listings == 3
    first = listing.items[0]
    assert first.version == hashlib.md5(b"# Report 0").hexdigest()
    assert (first.kind, first.size, first.modified_us) == ("markdown", 10, 1_767_323_045_000_000)
    assert (first.metadata, first.readers, first.url) == (
        {"team": "hr"},
        ("group:hr",),
        "https://files.example.com/r/0.md",
    )
    assert (await source.fetch(first, tmp_path)).read_bytes() == b"# Report 0"
    await source.close()


@pytest.mark.parametrize("page", [0, 1, 2])
async def test_a_listing_that_fails_at_any_page_removes_nothing(served: Bucket, page: int) -> None:
    source = source_of(served)
    served.fails = {page: 500}
    with pytest.raises(UpstreamFailed) as caught:
        await source.list(b"")
    assert str(caught.value) == (
        "The bucket 'reports' of s3.reports cannot be listed: the server answered 500 InternalError. "
        "What was taken in before is kept."
    )
    await source.close()


async def test_half_an_answer_and_a_server_that_is_away_are_no_listing(served: Bucket) -> None:
    source = source_of(served)
    served.broken = True
    with pytest.raises(UpstreamFailed, match="the answer is no listing: it is no whole XML"):
        await source.list(b"")
    await source.close()
    place = Place(name="reports", endpoint="http://127.0.0.1:9")
    away = S3Source("away", place, S3Options(), RULES)
    with pytest.raises(UpstreamFailed, match=r"'reports' of s3\.away cannot be listed: Cannot connect"):
        await away.list(b"")
    await away.close()


async def test_a_wrong_key_is_told_and_not_shown(served: Bucket) -> None:
    source = source_of(served, secret="not the secret")
    with pytest.raises(UpstreamFailed, match=r"403 SignatureDoesNotMatch\. Check secret_key\.") as caught:
        await source.list(b"")
    assert "not the secret" not in str(caught.value)
    await source.close()


async def test_keys_of_all_kinds(served: Bucket, tmp_path: Path) -> None:
    names = [
        " lead.md",
        "a/../b.md",
        "a//b.md",
        "cafe\u0301.md",
        "caf\u00e9.md",
        "a b.md",
        "ä/ö+ü.md",
        "x%20y.md",
        "q?a=1&b.md",
        "it's (1)!*.md",
        "deep/er/~t.txt",
        "<tag>.md",
        "#1.md",
    ]
    served.objects = {name: name.encode() for name in names}
    source = source_of(served)
    listing = await source.list(b"")
    assert sorted(item.key for item in listing.items) == sorted(names)
    for item in listing.items:
        assert (await source.fetch(item, tmp_path)).read_text() == item.key
    await source.close()


async def test_ten_thousand_keys_are_listed_and_a_listing_that_does_not_move_on_is_none() -> None:
    async with bucket(page=1000) as served:
        served.objects = dict.fromkeys((f"{number:05}.md" for number in range(10_000)), b"x")
        source = source_of(served)
        assert len((await source.list(b"")).items) == 10_000
        assert served.listings == 10
        served.stuck = True
        with pytest.raises(UpstreamFailed, match="it goes on with the page that was there before"):
            await source.list(b"")
        assert served.listings == 12
        await source.close()


async def test_what_is_no_document_is_left_out_or_named(served: Bucket) -> None:
    served.objects = dict.fromkeys(
        ("r/", "r/.hidden.md", "r/photo.jpeg", "r/old.md", "r/drafts/a.md", "r/b.md", "s/c.md"), b"x"
    )
    served.frozen = {"r/old.md"}
    source = source_of(served, S3Options(exclude=("drafts/",)), prefix="r/")
    listing = await source.list(b"")
    assert [item.key for item in listing.items] == ["r/b.md"]
    assert {problem.path: problem.status for problem in listing.problems} == {
        "r/photo.jpeg": "unsupported",
        "r/old.md": "unreadable",
    }
    await source.close()


async def test_what_goes_after_the_listing_or_is_too_large_is_told(served: Bucket, tmp_path: Path) -> None:
    source = source_of(served, S3Options(max_bytes=20))
    first, second, third, *_ = (await source.list(b"")).items
    del served.objects[first.key]
    served.objects[second.key] = b"x" * 21
    with pytest.raises(NotFound, match=r"r/0\.md is no longer in the bucket 'reports'"):
        await source.fetch(first, tmp_path)
    with pytest.raises(BodyTooLarge, match=r"r/1\.md has more than 0 MB"):
        await source.fetch(second, tmp_path)
    served.url = "http://127.0.0.1:9"
    away = source_of(served)
    with pytest.raises(Unavailable, match=r"r/2\.md cannot be fetched from s3\.reports"):
        await away.fetch(third, tmp_path)
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    await source.close()
    await away.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_the_examples_that_amazon_publishes_for_s3(path: str, expected: str) -> None:
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    scope = Scope("us-east-1", "s3")
    signature = Signature(credentials, scope, "https://examplebucket.s3.amazonaws.com", lambda: 1_369_353_600)
    empty = hashlib.sha256(b"").hexdigest()
    signed = dict(signature.signed("GET", path, (("X-Amz-Content-Sha256", empty),), b""))
    assert signed["Authorization"].endswith(f"Signature={expected}")


def test_where_buckets_of_amazon_are() -> None:
    assert Place(name="reports", region="eu-west-1").address == "https://reports.s3.eu-west-1.amazonaws.com"
    assert Place(name="my.reports").address == "https://s3.us-east-1.amazonaws.com/my.reports"
    assert Place(name="reports", endpoint="http://minio:9000/").address == "http://minio:9000/reports"
