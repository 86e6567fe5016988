"""Web pages: what is followed, what is kept when a site fails, and what must never be asked for."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.website import Page, Website, website

from penstock.errors import BodyTooLarge, NotFound, UpstreamFailed
from penstock.knowledge.sources.base import Item, Listing, SourceRules
from penstock.knowledge.sources.sitemaps import NotASitemap, parse_sitemap
from penstock.knowledge.sources.visits import WebLimits
from penstock.knowledge.sources.web import WebOptions, WebSource
from penstock.knowledge.sources.xml import BadXml, parse_xml

FAST = WebLimits(rate=1000, max_bytes=100_000)
RULES = SourceRules(metadata={"team": "hr"}, readers=("group:hr",))


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    async with website() as site:
        yield site


def source_of(tmp_path: Path, **options: object) -> WebSource:
    return WebSource("handbook", WebOptions(**{"limits": FAST, **options}), RULES, tmp_path / "work")  # type: ignore[arg-type]


def html(*links: str, text: str = "Words.", head: str = "") -> str:
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return f"<html><head>{head}</head><body><p>{text}</p>{anchors}</body></html>"


def keys(listing: Listing, site: Website) -> list[str]:
    return [item.key.removeprefix(site.url) for item in listing.items]


def known(listing: Listing) -> list[str]:
    return [item.key for item in listing.items]


def sitemap(site: Website, *paths: str) -> Page:
    urls = "".join(f"<url><loc>{site.url}{path}</loc></url>" for path in paths)
    return Page(f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>', type="text/xml")


async def test_named_pages_are_taken_and_links_are_not_followed_unasked(site: Website, tmp_path: Path) -> None:
    site.pages = {"/": html("/a", "/b"), "/a": html()}
    source = source_of(tmp_path, urls=(f"{site.url}/", f"{site.url}/a#part"))
    listing = await source.list(b"")
    assert keys(listing, site) == ["/", "/a"]
    assert site.asked == ["/robots.txt", "/", "/a"]
    [first, _] = listing.items
    assert (first.kind, first.url, first.metadata, first.readers) == (
        "html",
        first.key,
        {"team": "hr"},
        ("group:hr",),
    )
    file = await source.fetch(first, tmp_path)
    assert file.read_bytes() == html("/a", "/b").encode() and file.parent == tmp_path
    assert site.asked == ["/robots.txt", "/", "/a"], "what was sent once is not asked for again"
    await source.close()
    assert list((tmp_path / "work").iterdir()) == []


async def test_links_are_followed_to_the_depth_within_the_patterns(site: Website, tmp_path: Path) -> None:
    site.pages = {
        "/": html("/docs/a", "/blog/x", "/docs/a#again"),
        "/docs/a": html("b?v=2", "/docs/draft/c", "mailto:a@b.c", "javascript:x()"),
        "/docs/b?v=2": html("/docs/deeper"),
        "/docs/deeper": html(),
    }
    source = source_of(tmp_path, urls=(f"{site.url}/",), include=("docs/**",), exclude=("docs/draft/**",), depth=2)
    listing = await source.list(b"")
    assert keys(listing, site) == ["/docs/a", "/docs/b?v=2"]
    assert listing.complete and listing.unlisted == () and listing.problems == ()
    assert site.asked == ["/robots.txt", "/", "/docs/a", "/docs/b?v=2"]
    assert set(site.cookies) == {""} and site.agents == {"Penstock"}
    await source.close()


async def test_what_has_not_changed_is_not_sent_again_but_still_leads_on(site: Website, tmp_path: Path) -> None:
    site.pages = {"/": Page(html("/a"), headers={"ETag": '"1"'}), "/a": Page(html(), headers={"ETag": '"2"'})}
    source = source_of(tmp_path, urls=(f"{site.url}/",), depth=1)
    first = await source.list(b"")
    second = await source.list(first.cursor)
    assert site.conditional == ["/", "/a"]
    assert second.items == first.items
    file = await source.fetch(second.items[0], tmp_path)
    assert file.read_bytes() == html("/a").encode(), "it is asked for when it is needed after all"
    site.pages["/a"] = Page(html(text="New."), headers={"ETag": '"3"'})
    third = await source.list(second.cursor)
    assert [a.version == b.version for a, b in zip(second.items, third.items, strict=True)] == [True, False]
    await source.close()


async def test_only_404_and_410_are_deleted_and_failures_keep_what_was_there(site: Website, tmp_path: Path) -> None:
    names = ["/", "/a", "/b", "/c", "/d", "/e"]
    site.pages = {name: html(*names) for name in names}
    source = source_of(tmp_path, urls=tuple(f"{site.url}{name}" for name in names))
    first = await source.list(b"")
    site.pages["/a"] = Page(status=410)
    del site.pages["/b"]
    site.pages["/c"] = Page(status=503)
    site.pages["/d"] = Page(status=403)
    second = await source.list(first.cursor)
    assert keys(second, site) == ["/", "/e"]
    assert second.gone(known(first)) == {f"{site.url}/a", f"{site.url}/b"}
    assert {problem.path.removeprefix(site.url): problem.reason for problem in second.problems} == {
        "/c": "The server answered 503. What was taken in before is kept.",
        "/d": "The server answered 403. What was taken in before is kept.",
    }
    third = await source.list(b"")
    assert third.gone(known(first)) == {f"{site.url}/a", f"{site.url}/b"}, "also without a memory of the last run"
    await source.close()


async def test_a_page_that_fails_keeps_all_that_may_be_found_through_it(site: Website, tmp_path: Path) -> None:
    site.pages = {"/": html("/hub", "/gone"), "/hub": html("/a", "/b"), "/a": html(), "/b": html(), "/gone": html()}
    source = source_of(tmp_path, urls=(f"{site.url}/",), depth=2)
    first = await source.list(b"")
    site.pages["/hub"] = Page(status=500)
    del site.pages["/gone"]
    second = await source.list(first.cursor)
    assert keys(second, site) == ["/"]
    assert second.gone(known(first)) == {f"{site.url}/gone"}
    site.pages["/hub"] = html("/a")
    third = await source.list(second.cursor)
    assert keys(third, site) == ["/", "/a", "/hub"]
    assert third.gone(known(first)) == {f"{site.url}/b", f"{site.url}/gone"}
    await source.close()


async def test_a_page_under_another_address_is_kept_while_it_cannot_be_had(site: Website, tmp_path: Path) -> None:
    moved = Page(status=301, headers={"Location": "/new"})
    site.pages = {"/": html(), "/old": moved, "/new": html(head='<link rel="canonical" href="/proper">')}
    source = source_of(tmp_path, urls=(f"{site.url}/", f"{site.url}/old"))
    first = await source.list(b"")
    assert keys(first, site) == ["/", "/proper"]
    site.pages["/new"] = Page(status=502)
    for cursor in (first.cursor, b""):
        assert (await source.list(cursor)).gone(known(first)) == frozenset()
    await source.close()


async def test_an_index_that_leads_to_itself_is_read_once_and_too_many_sitemaps_remove_nothing(
    site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def index(*paths: str) -> Page:
        inner = "".join(f"<sitemap><loc>{site.url}{path}</loc></sitemap>" for path in paths)
        return Page(f"<sitemapindex>{inner}</sitemapindex>", type="text/xml")

    site.pages = {
        "/one.xml": index("/two.xml", "/one.xml"),
        "/two.xml": index("/one.xml", "/pages.xml"),
        "/pages.xml": sitemap(site, "/a"),
        "/a": html(),
    }
    source = source_of(tmp_path, sitemaps=(f"{site.url}/one.xml",))
    first = await source.list(b"")
    assert (keys(first, site), first.unlisted) == (["/a"], ())
    assert site.asked == ["/robots.txt", "/one.xml", "/two.xml", "/pages.xml", "/a"]
    monkeypatch.setattr("penstock.knowledge.sources.sitemaps.MOST_SITEMAPS", 2)
    site.pages["/b"] = html()
    source = source_of(tmp_path, sitemaps=(f"{site.url}/one.xml",), urls=(f"{site.url}/b",))
    second = await source.list(b"")
    assert keys(second, site) == ["/b"]
    assert second.gone(known(first)) == frozenset()
    [problem] = second.problems
    assert problem.reason.startswith("There are more than 2 sitemaps; 1 were not read.")
    await source.close()


async def test_an_answer_that_nothing_changed_to_who_did_not_ask_removes_nothing(
    site: Website, tmp_path: Path
) -> None:
    site.pages = {"/": html(), "/a": html()}
    source = source_of(tmp_path, urls=(f"{site.url}/", f"{site.url}/a"))
    first = await source.list(b"")
    site.pages["/a"] = Page(status=304)
    for cursor in (b"", first.cursor):
        second = await source.list(cursor)
        assert keys(second, site) == ["/"]
        assert second.gone(known(first)) == frozenset()
        assert [problem.reason[:24] for problem in second.problems] == ["The server answered 304."]
    await source.close()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'<?xml version="1.0" encoding="klingon"?><urlset/>', "no whole XML"),
        (b'<?xml version="1.0" encoding="gb2312"?><urlset/>', "no whole XML"),
        (gzip.compress(b"<" + b"x" * 53_000_000), "more than 50 MiB"),
    ],
)
def test_sitemaps_that_are_traps_or_cannot_be_read_say_so(data: bytes, reason: str) -> None:
    with pytest.raises(NotASitemap, match=reason):
        parse_sitemap(data)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_in_every_encoding(encoding: str) -> None:
    bomb = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE u [<!ENTITY x "y">]><urlset>&x;</urlset>'
    with pytest.raises(BadXml, match="it has a document type"):
        parse_xml(bomb.encode(encoding))
    assert parse_xml(b"<a><![CDATA[<!DOCTYPE u>]]></a>").text == "<!DOCTYPE u>"


async def test_a_sitemap_that_fails_raises_and_a_further_one_removes_nothing(site: Website, tmp_path: Path) -> None:
    index = "".join(f"<sitemap><loc>{site.url}/{name}</loc></sitemap>" for name in ("one.xml.gz", "two.xml"))
    site.pages = {
        "/sitemap.xml": Page(f"<sitemapindex>{index}</sitemapindex>", type="text/xml"),
        "/one.xml.gz": Page(gzip.compress(sitemap(site, "/a", "/b").data), type="application/gzip"),
        "/two.xml": sitemap(site, "/c", "http://elsewhere.example/x"),
        **{name: html() for name in ("/a", "/b", "/c")},
    }
    source = source_of(tmp_path, sitemaps=(f"{site.url}/sitemap.xml",))
    first = await source.list(b"")
    assert keys(first, site) == ["/a", "/b", "/c"]
    site.pages["/two.xml"] = Page(status=503)
    site.pages["/one.xml.gz"] = sitemap(site, "/a")
    second = await source.list(first.cursor)
    assert keys(second, site) == ["/a"]
    assert second.gone(known(first)) == frozenset()
    site.pages["/sitemap.xml"] = Page(status=503)
    with pytest.raises(UpstreamFailed, match=r"sitemap\.xml cannot be read: The server answered 503\. What"):
        await source.list(second.cursor)
    for broken in (
        "<urlset><url>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><urlset/>",
        "<html></html>",
        gzip.compress(b"x" * 99)[:9],
    ):
        site.pages["/sitemap.xml"] = Page(broken, type="text/xml")
        with pytest.raises(UpstreamFailed, match="cannot be read: it "):
            await source.list(b"")
    await source.close()


async def test_robots_are_followed_and_unknown_rules_stop_everything(site: Website, tmp_path: Path) -> None:
    site.pages = {
        "/robots.txt": Page("User-agent: *\nDisallow: /private\n", type="text/plain"),
        "/": html("/private/a", "/b", "/c"),
        "/private/a": html(),
        "/b": html(head='<meta name="robots" content="noindex">'),
        "/c": Page(html(), headers={"X-Robots-Tag": "none"}),
    }
    options = {"urls": (f"{site.url}/", f"{site.url}/private/a"), "depth": 1}
    source = source_of(tmp_path, **options)
    listing = await source.list(b"")
    assert keys(listing, site) == ["/"]
    assert "/private/a" not in site.asked
    assert [problem.reason for problem in listing.problems] == ["robots.txt of 127.0.0.1 does not allow it."]
    site.pages["/robots.txt"] = Page(status=500)
    with pytest.raises(UpstreamFailed, match=r"can be had.*robots\.txt of 127\.0\.0\.1 cannot be read"):
        await source.list(listing.cursor)
    await source.close()
    rude = source_of(tmp_path, respect_robots=False, **options)
    assert keys(await rude.list(b""), site) == ["/", "/b", "/c", "/private/a"]
    await rude.close()


async def test_redirects_leave_no_configured_host(site: Website, tmp_path: Path) -> None:
    async with website() as inside:
        inside.pages = {"/secret": html(text="secret")}
        secret = f"{inside.url}/secret"
        site.pages = {
            "/": html(secret, "/moved", "/login", "/fine", "/loop"),
            "/moved": Page(status=301, headers={"Location": secret}),
            "/login": Page(status=302, headers={"Location": secret}),
            "/fine": Page(status=307, headers={"Location": "/target?x=1"}),
            "/target?x=1": html(),
            "/loop": Page(status=302, headers={"Location": "/loop"}),
        }
        source = source_of(tmp_path, urls=(f"{site.url}/",), depth=1)
        listing = await source.list(b"")
        assert keys(listing, site) == ["/", "/target?x=1"]
        assert inside.asked == []
        reasons = {problem.path.removeprefix(site.url): problem.reason for problem in listing.problems}
        assert reasons["/moved"] == f"It leads to {inside.url}, which is none of the configured hosts."
        assert reasons["/login"].endswith("configured hosts. What was taken in before is kept.")
        assert reasons["/loop"].startswith("It was redirected more than 5 times.")
        await source.close()
        wider = source_of(tmp_path, urls=(f"{site.url}/",), depth=1, hosts=(inside.url.removeprefix("http://"),))
        listing = await wider.list(b"")
        assert inside.asked == [], "a further host on a private address has to be permitted, too"
        assert any("127.0.0.1 is an address of this machine" in problem.reason for problem in listing.problems)
        await wider.close()


async def test_large_strange_and_odd_pages(site: Website, tmp_path: Path) -> None:
    site.pages = {
        "/": html("/big", "/bomb", "/image", "/doc", "/readme", "/latin"),
        "/big": Page(b"x" * 100_001),
        "/bomb": Page(gzip.compress(b"x" * 5_000_000), headers={"Content-Encoding": "gzip"}),
        "/image": Page(b"\x89PNG", type="image/png"),
        "/doc": Page(b"%PDF-1.4", type="application/pdf"),
        "/readme": Page("plain", type="text/plain"),
        "/latin": Page("<p>café</p>".encode("latin-1"), type="text/html; charset=iso-8859-1"),
    }
    source = source_of(tmp_path, urls=(f"{site.url}/",), depth=1)
    listing = await source.list(b"")
    kinds = {item.key.removeprefix(site.url): item.kind for item in listing.items}
    assert kinds == {"/": "html", "/doc": "pdf", "/readme": "text", "/latin": "html"}
    statuses = {problem.path.removeprefix(site.url): problem.status for problem in listing.problems}
    assert statuses == {"/big": "too_large", "/bomb": "too_large", "/image": "unsupported"}
    [latin] = [item for item in listing.items if item.key.endswith("/latin")]
    assert (await source.fetch(latin, tmp_path)).read_text("utf-8-sig") == "<p>café</p>"
    await source.close()


async def test_more_pages_than_may_be_are_told_and_remove_nothing(site: Website, tmp_path: Path) -> None:
    site.pages = {"/": html(*(f"/{number}" for number in range(9)))} | {f"/{number}": html() for number in range(9)}
    source = source_of(tmp_path, urls=(f"{site.url}/",), depth=1)
    everything = await source.list(b"")
    await source.close()
    small = source_of(tmp_path, urls=(f"{site.url}/",), depth=1, max_pages=4)
    listing = await small.list(b"")
    assert len(listing.items) == 4 and listing.gone(known(everything)) == frozenset()
    [problem] = listing.problems
    assert problem.reason == "There are more pages than max_pages = 4; 6 known ones were left out, this one first."
    await small.close()


async def test_copies_are_one_document_but_a_site_that_calls_all_pages_one_is_not_believed(
    site: Website, tmp_path: Path
) -> None:
    proper = '<link rel="canonical" href="/page">'
    site.pages = {
        "/": html("/page", "/page?print=1", "/page?from=mail"),
        "/page": html(head=proper, text="proper"),
        "/page?print=1": html(head=proper, text="print"),
        "/page?from=mail": html(head=proper, text="mail"),
    }
    source = source_of(tmp_path, urls=(f"{site.url}/",), depth=1)
    listing = await source.list(b"")
    assert keys(listing, site) == ["/", "/page"]
    assert b"proper" in (await source.fetch(listing.items[1], tmp_path)).read_bytes()
    home = '<link rel="canonical" href="/">'
    names = [f"/{number}" for number in range(9)]
    site.pages = {"/": html(*names, head=home)} | {name: html(head=home, text=name) for name in names}
    assert keys(await source.list(b""), site) == ["/", *names]
    await source.close()


async def test_a_busy_server_is_given_the_time_it_asks_for(site: Website, tmp_path: Path) -> None:
    site.pages = {"/": Page(status=503, headers={"Retry-After": "0"})}
    source = source_of(tmp_path, urls=(f"{site.url}/",), respect_robots=False)
    with pytest.raises(UpstreamFailed):
        await source.list(b"")
    assert site.asked == ["/", "/"]
    await source.close()


async def test_a_server_that_is_away_or_silent_removes_nothing(site: Website, tmp_path: Path) -> None:
    site.pages = {"/": html()}
    source = source_of(tmp_path, urls=(f"{site.url}/", "http://127.0.0.1:9/away"), respect_robots=False)
    listing = await source.list(b"")
    assert keys(listing, site) == ["/"]
    assert listing.gone(["http://127.0.0.1:9/away"]) == frozenset()
    [problem] = listing.problems
    assert problem.reason.startswith("127.0.0.1 could not be reached: Connect call failed") or (
        "Connection refused" in problem.reason
    )
    await source.close()


async def test_what_goes_between_listing_and_fetching_is_told(site: Website, tmp_path: Path) -> None:
    site.pages = {"/a": Page(html(), headers={"ETag": '"1"'}), "/b": Page(html(), headers={"ETag": '"1"'})}
    source = source_of(tmp_path, urls=(f"{site.url}/a", f"{site.url}/b"))
    listing = await source.list((await source.list(b"")).cursor)
    site.pages = {"/b": "x" * 100_001}
    first, second = listing.items
    with pytest.raises(NotFound, match="no longer there"):
        await source.fetch(first, tmp_path)
    with pytest.raises(BodyTooLarge, match="more than"):
        await source.fetch(second, tmp_path)
    await source.close()


async def test_a_strange_cursor_is_no_harm(site: Website, tmp_path: Path) -> None:
    site.pages = {"/": html()}
    source = source_of(tmp_path, urls=(f"{site.url}/",))
    assert len((await source.list(b"\xff\x00 nonsense")).items) == 1
    assert isinstance((await source.list(b"")).items[0], Item)
    await source.close()
